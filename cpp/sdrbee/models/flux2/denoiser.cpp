#include "sdrbee/models/flux2/denoiser.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

namespace sdrbee::flux2 {
namespace {

// The network's timesteps are noise levels, the samplers' are of 1000 training steps.
constexpr double kTrainSteps = 1000;
// Reference pictures are so far apart on the axis of pictures.
constexpr double kPictureDistance = 10;

/// [B, C, h, w] -> [B, h * w, C]
Tensor tokens_of(const Tensor& latents) { return latents.flatten(2).transpose(1, 2); }

/// Positions of the cells of a picture: [h * w, 4].
Tensor positions_of(const Tensor& latents, double picture) {
  const int64_t rows = latents.size(2), columns = latents.size(3);
  const Tensor number = at::full({rows, columns}, picture, at::kDouble);
  const Tensor row = at::arange(rows, at::kDouble).unsqueeze(1).expand({rows, columns});
  const Tensor column = at::arange(columns, at::kDouble).expand({rows, columns});
  return at::stack({number, row, column, at::zeros_like(number)}, 2).reshape({-1, 4});
}

}  // namespace

Flux2Denoiser::Flux2Denoiser(const io::Component& component, const LoadOptions& options)
    : network_(component, options,
               [config = TransformerConfig::from(component.config)](const io::WeightScope& scope) {
                 return Transformer(scope, config);
               }),
      dtype_(options.dtype) {}

Tensor Flux2Denoiser::predict(const Tensor& latents, const Tensor& timesteps,
                              const Conditioning& conditioning) {
  TransformerInputs inputs{.tokens = tokens_of(latents),
                           .positions = positions_of(latents, 0),
                           // Rounded before the division, as in diffusers.
                           .timesteps = timesteps.to(dtype_).div(kTrainSteps),
                           .context = conditioning.context};
  const int64_t count = inputs.tokens.size(1);
  if (const Tensor& reference = conditioning.reference; reference.defined()) {
    inputs.tokens = at::cat({inputs.tokens, tokens_of(reference)}, 1);
    inputs.positions = at::cat({inputs.positions, positions_of(reference, kPictureDistance)});
  }
  // [B, h * w, C] -> [B, C, h, w]
  return network_.use()(inputs)
      .narrow(1, 0, count)
      .transpose(1, 2)
      .reshape({latents.size(0), -1, latents.size(2), latents.size(3)})
      .to(at::kFloat);
}

}  // namespace sdrbee::flux2
