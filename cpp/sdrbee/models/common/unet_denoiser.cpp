#include "sdrbee/models/common/unet_denoiser.h"

#include <ATen/ops/cat.h>

#include "sdrbee/models/common/control_residuals.h"

namespace sdrbee {

UnetDenoiser::UnetDenoiser(const io::Component& component, const LoadOptions& options)
    : network_(component, options,
               [config = Unet2DConditionConfig::from(component.config)](
                   const io::WeightScope& scope) { return Unet2DCondition(scope, config); }) {}

Tensor UnetDenoiser::predict(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning) {
  // Before the network is in use: under a memory limit one may have to make room for the other.
  const auto added = control_residuals(latents, timesteps, conditioning);
  const Unet2DCondition& network = network_.use();
  Unet2DInputs inputs = unet_inputs(conditioning);
  if (const auto width = network.config().time_cond_proj_dim)
    inputs.guidance = guidance_embedding(conditioning.guidance, *width);
  const Tensor input =
      conditioning.channels.defined() ? at::cat({latents, conditioning.channels}, 1) : latents;
  return network(input, timesteps, inputs, added).to(at::kFloat);
}

Unet2DInputs unet_inputs(const Conditioning& conditioning) {
  Unet2DInputs inputs{.context = conditioning.context};
  if (conditioning.pooled.defined()) inputs.text_embeds = conditioning.pooled;
  if (conditioning.time_ids.defined()) inputs.time_ids = conditioning.time_ids;
  return inputs;
}

}  // namespace sdrbee
