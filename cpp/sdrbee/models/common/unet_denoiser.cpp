#include "sdrbee/models/common/unet_denoiser.h"

#include <ATen/ops/cat.h>

#include "sdrbee/models/common/load_network.h"

namespace sdrbee {
namespace {

Unet2DCondition load(const io::Component& component, const LoadOptions& options) {
  return load_network(component, options, [&](const io::WeightScope& scope) {
    return Unet2DCondition(scope, Unet2DConditionConfig::from(component.config));
  });
}

}  // namespace

UnetDenoiser::UnetDenoiser(const io::Component& component, const LoadOptions& options)
    : network_(load(component, options)) {}

Tensor UnetDenoiser::predict(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning) {
  Unet2DInputs inputs{.context = conditioning.context};
  if (conditioning.pooled.defined()) inputs.text_embeds = conditioning.pooled;
  if (conditioning.time_ids.defined()) inputs.time_ids = conditioning.time_ids;
  if (const auto width = network_.config().time_cond_proj_dim)
    inputs.guidance = guidance_embedding(conditioning.guidance, *width);
  const Tensor input =
      conditioning.channels.defined() ? at::cat({latents, conditioning.channels}, 1) : latents;
  return network_(input, timesteps, inputs).to(at::kFloat);
}

}  // namespace sdrbee
