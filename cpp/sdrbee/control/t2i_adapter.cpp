#include "sdrbee/control/t2i_adapter.h"

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/pixel_unshuffle.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/tensor.h>

#include <utility>

namespace sdrbee::control {
namespace {

constexpr nn::Conv2dOptions kPadded{.padding = 1};
constexpr int64_t kLightShrink = 4;  // of the channels within a block

/// ITU-R 601 luma [B, 1, H, W] of [B, 3, H, W].
Tensor luma_of(const Tensor& image) {
  const Tensor weights = at::tensor({0.299F, 0.587F, 0.114F}).reshape({1, 3, 1, 1});
  return image.mul(weights.to(image.device())).sum(at::IntArrayRef{1}, /*keepdim=*/true);
}

/// By two; a last odd row or column counts alone, as in the UNet.
Tensor halved(const Tensor& x) {
  return at::avg_pool2d(x, {2, 2}, {2, 2}, {0, 0}, /*ceil_mode=*/true);
}

}  // namespace

AdapterResnet::AdapterResnet(const io::WeightScope& scope, int64_t channels, int64_t second_kernel)
    : block1_(scope / "block1", channels, channels, 3, kPadded),
      block2_(scope / "block2", channels, channels, second_kernel,
              {.padding = (second_kernel - 1) / 2}) {}

Tensor AdapterResnet::operator()(const Tensor& x) const {
  return block2_.add(at::relu(block1_(x)), x);
}

AdapterBlock::AdapterBlock(const io::WeightScope& scope, const T2iAdapterConfig& config,
                           const AdapterBlockShape& shape)
    : halves_(shape.halves) {
  const int64_t inside = config.light ? shape.out / kLightShrink : shape.out;
  if (config.light || shape.in != shape.out)
    in_conv_.emplace(scope / "in_conv", shape.in, inside, 1);
  for (int64_t i = 0; i < config.res_blocks; ++i)
    resnets_.emplace_back(scope / "resnets" / i, inside, config.light ? 3 : 1);
  if (config.light) out_conv_.emplace(scope / "out_conv", inside, shape.out, 1);
}

Tensor AdapterBlock::operator()(Tensor x) const {
  if (halves_) x = halved(x);
  if (in_conv_) x = (*in_conv_)(x);
  for (const AdapterResnet& resnet : resnets_) x = resnet(x);
  return out_conv_ ? (*out_conv_)(x) : x;
}

T2iAdapter::T2iAdapter(const io::WeightScope& scope, const T2iAdapterConfig& config)
    : config_(config), options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())) {
  const io::WeightScope root = scope / "adapter";
  if (!config.light)
    conv_in_.emplace(root / "conv_in", config.unshuffled_channels(), config.blocks.front().in, 3,
                     kPadded);
  for (const AdapterBlockShape& shape : config.blocks)
    body_.emplace_back(root / "body" / std::ssize(body_), config, shape);
}

std::vector<Tensor> T2iAdapter::operator()(const Tensor& image) const {
  const Tensor shown = config_.image_channels == 1 ? luma_of(image) : image;
  Tensor x = at::pixel_unshuffle(shown.to(options_), config_.downscale);
  if (conv_in_) x = (*conv_in_)(x);
  std::vector<Tensor> features;
  for (const AdapterBlock& block : body_) {
    x = block(std::move(x));
    features.push_back(x);
  }
  return features;
}

}  // namespace sdrbee::control
