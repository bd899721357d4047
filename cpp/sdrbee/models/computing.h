// How the calling thread computes for a model.
#pragma once

#include <c10/core/InferenceMode.h>

#include "sdrbee/models/image_model.h"

namespace sdrbee {

/// While one lives, the calling thread keeps no gradients, and shares its operations with as many
/// other threads as pay: with none for a small model. A step of one is hundreds of operations of
/// some ten microseconds, each of which would wake the others and wait for them; on virtual
/// machines, where that is dear, two threads took three times as long as one.
class Computing {
 public:
  explicit Computing(ImageModel& model);
  ~Computing();
  Computing(const Computing&) = delete;
  Computing& operator=(const Computing&) = delete;

 private:
  c10::InferenceMode inference_;
  int threads_;  // that the calling thread had before; 0: it still has them
};

}  // namespace sdrbee
