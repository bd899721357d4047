#include "sdrbee/models/common/unet_denoiser.h"

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/load_network.h"

namespace sdrbee {
namespace {

Unet2DCondition load(const io::Component& component, const LoadOptions& options) {
  const auto config = Unet2DConditionConfig::from(component.config);
  if (config.time_cond_proj_dim)
    throw UnsupportedModel(message("[", component.config.origin(),
                                   "] time_cond_proj_dim: this build does not run networks that "
                                   "take the guidance scale as an input (LCM-distilled)"));
  return load_network(component, options,
                      [&](const io::WeightScope& scope) { return Unet2DCondition(scope, config); });
}

}  // namespace

UnetDenoiser::UnetDenoiser(const io::Component& component, const LoadOptions& options)
    : network_(load(component, options)) {}

Tensor UnetDenoiser::predict(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning) {
  return network_(latents, timesteps, {.context = conditioning.context}).to(at::kFloat);
}

}  // namespace sdrbee
