// From request to finished pictures: the loop around begin, advance and finish.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "sdrbee/generation/generation.h"
#include "sdrbee/generation/preview.h"

namespace sdrbee {

/// Told after every step of a picture.
struct StepEvent {
  int64_t image_index = 0;       // 0.. within the call
  int64_t step = 0;              // steps taken of this picture, 1..
  std::optional<int64_t> total;  // steps of this picture; empty where nobody knows
  std::optional<Image> preview;  // as request.preview asks
};
using StepObserver = std::function<void(const StepEvent&)>;

/// Makes the pictures of a session on one model; keeps the preview map between calls.
class Generator {
 public:
  explicit Generator(ImageModel& model) : model_(&model), previewer_(model) {}

  /// All `count` pictures of a request, each alone in every step, so each repeats bit by bit.
  std::vector<GeneratedImage> generate(const GenerationRequest& request,
                                       const StepObserver& observer, const CancelToken& cancel);

  /// One picture a request, advanced together; `count` must be 1. Requests with `exact` run alone.
  std::vector<GeneratedImage> generate_batch(std::span<const GenerationRequest> requests,
                                             const StepObserver& observer,
                                             const CancelToken& cancel);

 private:
  void run(std::span<Generation> generations, int64_t first_index, const StepObserver& observer,
           const CancelToken& cancel);

  ImageModel* model_;
  Previewer previewer_;
};

}  // namespace sdrbee
