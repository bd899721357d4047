// Pictures on the way, cheaply.
#pragma once

#include <optional>

#include "sdrbee/core/image.h"
#include "sdrbee/generation/generation.h"

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

/// Makes the previews that requests ask for; keeps the model's map.
class Previewer {
 public:
  explicit Previewer(ImageModel& model) : model_(&model) {}

  /// The picture so far, as `request.preview` asks; nothing for "none" and before the first step.
  std::optional<Image> operator()(const Generation& generation);

 private:
  ImageModel* model_;
  std::optional<PreviewMap> map_;
};

}  // namespace sdrbee
