#include "sdrbee/generation/preview.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_lstsq.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <c10/core/InferenceMode.h>

#include "sdrbee/core/check.h"
#include "sdrbee/core/rng.h"
#include "sdrbee/generation/source_image.h"
#include "sdrbee/generation/tiling.h"
#include "sdrbee/models/computing.h"

namespace sdrbee {
namespace {

constexpr int64_t kFitSide = 16;   // latent cells a side of the fitting picture
constexpr int64_t kPatchSide = 4;  // cells of one colour: decoders answer smooth input linearly

/// [1, C, h, w] -> [h*w, C + 1], the last column is 1.
Tensor cells(const Tensor& latents) {
  const Tensor rows = latents.flatten(2)[0].t().to(at::kCPU, at::kFloat);  // [h*w, C]
  return at::cat({rows, at::ones({rows.size(0), 1}, rows.options())}, 1);
}

}  // namespace

PreviewMap PreviewMap::fit(ImageModel& model) {
  const Computing computing(model);
  constexpr int64_t kPatches = kFitSide / kPatchSide;
  const Tensor patches =
      NoiseSource(0).normal({1, model.info().latent_channels, kPatches, kPatches});
  const Tensor latents = at::upsample_nearest2d(patches, {kFitSide, kFitSide}).to(model.device());
  const Tensor picture = model.autoencoder().decode(latents).to(at::kCPU, at::kFloat);
  const Tensor colours =
      at::adaptive_avg_pool2d(picture, {kFitSide, kFitSide}).flatten(2)[0].t();  // [h*w, 3]
  return PreviewMap(std::get<0>(at::linalg_lstsq(cells(latents), colours)));
}

Image PreviewMap::apply(const Tensor& latents) const {
  SDRBEE_CHECK_SHAPE(latents, {1, -1, -1, -1});
  const c10::InferenceMode inference;
  const Tensor colours = cells(latents).matmul(weights_);  // [h*w, 3]
  const Tensor picture =
      colours.t().reshape({1, 3, latents.size(2), latents.size(3)});  // [h*w, 3] -> [1, 3, h, w]
  return float_to_image(picture_to_float(picture));
}

std::optional<Image> Previewer::operator()(const Generation& generation) {
  if (generation.request.preview == "none" || !generation.denoised.defined()) return std::nullopt;
  if (generation.request.preview == "full") {
    const Computing computing(*model_);
    const nn::CircularPadding padding = padding_of(generation.request);
    return float_to_image(picture_to_float(model_->autoencoder().decode(generation.denoised)));
  }
  if (!map_) map_ = PreviewMap::fit(*model_);
  return map_->apply(generation.denoised);
}

}  // namespace sdrbee
