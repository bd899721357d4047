#include "sdrbee/models/flux/denoiser.h"

#include <ATen/ops/cat.h>

#include "sdrbee/models/common/control_residuals.h"
#include "sdrbee/models/flux/patches.h"

namespace sdrbee::flux {
namespace {

// The network's timesteps are noise levels, the samplers' are of 1000 training steps.
constexpr double kTrainSteps = 1000;

}  // namespace

TransformerInputs transformer_inputs(const Tensor& latents, const Tensor& timesteps,
                                     const Conditioning& conditioning, Dtype dtype) {
  return {.tokens = pack_latents(latents),
          .positions = token_positions(latents.size(2), latents.size(3), /*picture=*/0),
          // Rounded before the division, as in diffusers.
          .timesteps = timesteps.to(dtype).div(kTrainSteps),
          .context = conditioning.context,
          .pooled = conditioning.pooled,
          .guidance = conditioning.guidance};
}

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
  // Before the network is in use: under a memory limit one may have to make room for the other.
  const auto added = control_residuals(latents, timesteps, conditioning);
  BlockResiduals residuals;
  if (added) residuals = {.blocks = added->blocks, .single_blocks = added->single_blocks};
  const Tensor input =
      conditioning.channels.defined() ? at::cat({latents, conditioning.channels}, 1) : latents;
  TransformerInputs inputs = transformer_inputs(input, timesteps, conditioning, dtype_);
  const int64_t tokens = inputs.tokens.size(1);
  if (const Tensor& reference = conditioning.reference; reference.defined()) {
    inputs.tokens = at::cat({inputs.tokens, pack_latents(reference)}, 1);
    inputs.positions = at::cat(
        {inputs.positions, token_positions(reference.size(2), reference.size(3), /*picture=*/1)});
  }
  return unpack_latents(network_.use()(inputs, residuals).narrow(1, 0, tokens), height, width)
      .to(at::kFloat);
}

}  // namespace sdrbee::flux
