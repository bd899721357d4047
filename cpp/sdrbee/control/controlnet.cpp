#include "sdrbee/control/controlnet.h"

#include <ATen/ops/flip.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/silu.h>

#include <cmath>

namespace sdrbee::control {
namespace {

constexpr nn::Conv2dOptions kSameSize{.padding = 1};
constexpr nn::Conv2dOptions kHalfSize{.stride = 2, .padding = 1};

std::vector<nn::Conv2d> take_blocks(const io::WeightScope& scope,
                                    const std::vector<int64_t>& widths) {
  std::vector<nn::Conv2d> blocks;
  int64_t index = 0;
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    blocks.emplace_back(scope / index++, widths[i], widths[i], 3, kSameSize);
    blocks.emplace_back(scope / index++, widths[i], widths[i + 1], 3, kHalfSize);
  }
  return blocks;
}

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

ImageEmbedding::ImageEmbedding(const io::WeightScope& scope, const ControlNetConfig& config)
    : conv_in_(scope / "conv_in", config.image_channels, config.image_widths.front(), 3, kSameSize),
      blocks_(take_blocks(scope / "blocks", config.image_widths)),
      conv_out_(scope / "conv_out", config.image_widths.back(),
                config.unet.down_blocks.front().channels, 3, kSameSize) {}

Tensor ImageEmbedding::operator()(const Tensor& image) const {
  Tensor x = at::silu(conv_in_(image));
  for (const nn::Conv2d& block : blocks_) x = at::silu(block(x));
  return conv_out_(x);
}

ControlNet::ControlNet(const io::WeightScope& scope, const ControlNetConfig& config)
    : encoder_(scope, config.unet),
      controlnet_cond_embedding_(scope / "controlnet_cond_embedding", config),
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
