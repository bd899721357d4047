#include "sdrbee/models/flux/denoiser.h"

#include <ATen/ops/cat.h>

#include "sdrbee/models/flux/patches.h"

namespace sdrbee::flux {
namespace {

// The network's timesteps are noise levels, the samplers' are of 1000 training steps.
constexpr double kTrainSteps = 1000;

}  // namespace

FluxDenoiser::FluxDenoiser(const io::Component& component, const LoadOptions& options)
    : network_(component, options,
               [config = TransformerConfig::from(component.config)](const io::WeightScope& scope) {
                 return Transformer(scope, config);
               }),
      dtype_(options.dtype) {}

Tensor FluxDenoiser::predict(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning) {
  const int64_t height = latents.size(2);
  const int64_t width = latents.size(3);
  const Tensor input =
      conditioning.channels.defined() ? at::cat({latents, conditioning.channels}, 1) : latents;
  TransformerInputs inputs{.tokens = pack_latents(input),
                           .positions = token_positions(height, width, /*picture=*/0),
                           // Rounded before the division, as in diffusers.
                           .timesteps = timesteps.to(dtype_).div(kTrainSteps),
                           .context = conditioning.context,
                           .pooled = conditioning.pooled,
                           .guidance = conditioning.guidance};
  const int64_t tokens = inputs.tokens.size(1);
  if (const Tensor& reference = conditioning.reference; reference.defined()) {
    inputs.tokens = at::cat({inputs.tokens, pack_latents(reference)}, 1);
    inputs.positions = at::cat(
        {inputs.positions, token_positions(reference.size(2), reference.size(3), /*picture=*/1)});
  }
  return unpack_latents(network_.use()(inputs).narrow(1, 0, tokens), height, width).to(at::kFloat);
}

}  // namespace sdrbee::flux
