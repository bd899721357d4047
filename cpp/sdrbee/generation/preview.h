// Pictures on the way, cheaply.
#pragma once

#include "sdrbee/core/image.h"
#include "sdrbee/models/image_model.h"

namespace sdrbee {

/// A linear map from latent channels to RGB, fitted by least squares to what this model's own
/// decoder makes of smooth random latents; so it works for every VAE.
class PreviewMap {
 public:
  static PreviewMap fit(ImageModel& model);

  /// One pixel a latent cell: `latents` [1, C, h, w] -> RGB picture of w x h.
  Image apply(const Tensor& latents) const;

 private:
  explicit PreviewMap(Tensor weights) : weights_(std::move(weights)) {}
  Tensor weights_;  // [C + 1, 3], the last row is the constant
};

}  // namespace sdrbee
