#include "sdrbee/control/controlnet.h"

#include <ATen/ops/flip.h>
#include <ATen/ops/mean.h>

#include <cmath>

namespace sdrbee::control {
namespace {

/// One convolution for each skip connection of the UNet.
std::vector<nn::Conv2d> take_outputs(const io::WeightScope& scope,
                                     const Unet2DConditionConfig& unet) {
  std::vector<nn::Conv2d> outputs;
  const auto add = [&](int64_t channels) {
    outputs.emplace_back(scope / std::ssize(outputs), channels, channels, 1);
  };
  add(unet.down_blocks.front().channels);
  for (size_t i = 0; i < unet.down_blocks.size(); ++i) {
    const UnetBlockConfig& block = unet.down_blocks[i];
    const bool halves = i + 1 < unet.down_blocks.size();
    for (int64_t layer = 0; layer < block.layers + (halves ? 1 : 0); ++layer) add(block.channels);
  }
  return outputs;
}

/// In guess mode the outputs get 0.1 to 1 of their strength, evenly in the logarithm.
void weaken_high_resolutions(ControlResiduals& residuals) {
  const auto count = static_cast<double>(residuals.skips.size());
  for (size_t i = 0; i < residuals.skips.size(); ++i)
    residuals.skips[i] =
        residuals.skips[i].mul(std::pow(10.0, static_cast<double>(i) / count - 1.0));
}

Tensor mean_of_places(const Tensor& residual) {
  return at::mean(residual, at::IntArrayRef{2, 3}, /*keepdim=*/true);
}

}  // namespace

ControlNet::ControlNet(const io::WeightScope& scope, const ControlNetConfig& config)
    : encoder_(scope, config.unet),
      controlnet_cond_embedding_(scope / "controlnet_cond_embedding",
                                 {.in = config.image_channels,
                                  .widths = config.image_widths,
                                  .out = config.unet.down_blocks.front().channels}),
      controlnet_down_blocks_(take_outputs(scope / "controlnet_down_blocks", config.unet)),
      controlnet_mid_block_(scope / "controlnet_mid_block", config.unet.down_blocks.back().channels,
                            config.unet.down_blocks.back().channels, 1),
      image_is_bgr_(config.image_is_bgr),
      global_pool_conditions_(config.global_pool_conditions) {
  if (config.fusion) fusion_.emplace(scope, config);
}

ControlResiduals ControlNet::operator()(const Tensor& latents, const Tensor& timesteps,
                                        Unet2DInputs inputs, const ControlInput& control) const {
  const Tensor shown =
      (image_is_bgr_ ? at::flip(control.image, {1}) : control.image).to(encoder_.options());
  const Tensor features = controlnet_cond_embedding_(shown);
  Tensor x = encoder_.begin(latents);
  x = fusion_ ? (*fusion_)(x, features, control.type) : x.add(features);
  if (fusion_) inputs.added_time = fusion_->time_embedding(control.type);
  const UnetBlockInputs shared = encoder_.shared_inputs(timesteps, inputs);
  std::vector<Tensor> skips;
  x = encoder_.down(x, shared, skips);
  ControlResiduals residuals{.skips = {},
                             .middle = controlnet_mid_block_(encoder_.middle(x, shared))};
  for (size_t i = 0; i < skips.size(); ++i)
    residuals.skips.push_back(controlnet_down_blocks_[i](skips[i]));
  if (global_pool_conditions_) {
    for (Tensor& skip : residuals.skips) skip = mean_of_places(skip);
    residuals.middle = mean_of_places(residuals.middle);
  } else if (control.guess_mode) {
    weaken_high_resolutions(residuals);
  }
  return residuals;
}

}  // namespace sdrbee::control
