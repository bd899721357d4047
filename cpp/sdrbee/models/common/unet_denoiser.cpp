#include "sdrbee/models/common/unet_denoiser.h"

#include <ATen/ops/cat.h>

namespace sdrbee {

UnetDenoiser::UnetDenoiser(const io::Component& component, const LoadOptions& options)
    : network_(component, options,
               [config = Unet2DConditionConfig::from(component.config)](
                   const io::WeightScope& scope) { return Unet2DCondition(scope, config); }) {}

Tensor UnetDenoiser::predict(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning) {
  const Unet2DCondition& network = network_.use();
  Unet2DInputs inputs{.context = conditioning.context};
  if (conditioning.pooled.defined()) inputs.text_embeds = conditioning.pooled;
  if (conditioning.time_ids.defined()) inputs.time_ids = conditioning.time_ids;
  if (const auto width = network.config().time_cond_proj_dim)
    inputs.guidance = guidance_embedding(conditioning.guidance, *width);
  const Tensor input =
      conditioning.channels.defined() ? at::cat({latents, conditioning.channels}, 1) : latents;
  return network(input, timesteps, inputs).to(at::kFloat);
}

}  // namespace sdrbee
