#include "sdrbee/models/common/unet_blocks.h"

#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee {
namespace {

nn::ResnetShape resnet_shape(const UnetBlockShape& shape, int64_t in) {
  return {.in = in,
          .out = shape.block.channels,
          .time = shape.time,
          .groups = shape.groups,
          .eps = shape.eps};
}

std::vector<Transformer2D> take_attentions(const io::WeightScope& scope,
                                           const UnetBlockShape& shape) {
  std::vector<Transformer2D> attentions;
  for (const int64_t layers : shape.block.transformer_layers)
    attentions.emplace_back(
        scope / "attentions" / static_cast<int64_t>(attentions.size()),
        Transformer2DShape{.channels = shape.block.channels,
                           .heads = shape.block.heads,
                           .context = shape.block.cross_attention_dim,
                           .layers = layers,
                           .groups = shape.groups,
                           .only_cross_attention = shape.block.only_cross_attention});
  return attentions;
}

}  // namespace

UnetDownBlock::UnetDownBlock(const io::WeightScope& scope, const UnetBlockShape& shape,
                             const std::optional<nn::DownsamplePadding>& downsample)
    : attentions_(take_attentions(scope, shape)) {
  for (int64_t i = 0; i < shape.block.layers; ++i)
    resnets_.emplace_back(scope / "resnets" / i,
                          resnet_shape(shape, i == 0 ? shape.in : shape.block.channels));
  if (downsample) downsampler_.emplace(scope / "downsamplers.0", shape.block.channels, *downsample);
}

Tensor UnetDownBlock::operator()(Tensor x, const UnetBlockInputs& inputs,
                                 std::vector<Tensor>& skips, const Tensor& feature) const {
  for (size_t i = 0; i < resnets_.size(); ++i) {
    x = resnets_[i](x, inputs.activated_time);
    if (!attentions_.empty()) x = attentions_[i](x, inputs.context, inputs.extra);
    skips.push_back(x);
  }
  if (feature.defined() && !attentions_.empty()) x = skips.back() = x.add(feature);
  if (downsampler_) {
    x = (*downsampler_)(x);
    skips.push_back(x);
  }
  if (feature.defined() && attentions_.empty()) x = skips.back() = x.add(feature);
  return x;
}

UnetMidBlock::UnetMidBlock(const io::WeightScope& scope, const UnetBlockShape& shape)
    : attentions_(take_attentions(scope, shape)) {
  for (int64_t i = 0; i < shape.block.layers; ++i)
    resnets_.emplace_back(scope / "resnets" / i, resnet_shape(shape, shape.block.channels));
}

Tensor UnetMidBlock::operator()(const Tensor& x, const UnetBlockInputs& inputs) const {
  Tensor y = resnets_.front()(x, inputs.activated_time);
  if (attentions_.empty()) return y;
  y = attentions_.front()(y, inputs.context, inputs.extra);
  return resnets_.back()(y, inputs.activated_time);
}

UnetUpBlock::UnetUpBlock(const io::WeightScope& scope, const UnetBlockShape& shape, bool upsample)
    : attentions_(take_attentions(scope, shape)) {
  const int64_t channels = shape.block.channels;
  for (int64_t i = 0; i < shape.block.layers; ++i) {
    const int64_t from_below = i == 0 ? shape.in : channels;
    const int64_t from_skip = i + 1 == shape.block.layers ? shape.skip : channels;
    resnets_.emplace_back(scope / "resnets" / i, resnet_shape(shape, from_below + from_skip));
  }
  if (upsample) upsampler_.emplace(scope / "upsamplers.0", channels);
}

Tensor UnetUpBlock::operator()(Tensor x, const UnetBlockInputs& inputs,
                               std::vector<Tensor>& skips) const {
  SDRBEE_CHECK(skips.size() >= resnets_.size());
  for (size_t i = 0; i < resnets_.size(); ++i) {
    x = nn::join_channels(x, skips.back());
    skips.pop_back();
    x = resnets_[i](std::move(x), inputs.activated_time);
    if (!attentions_.empty()) x = attentions_[i](x, inputs.context, inputs.extra);
  }
  if (!upsampler_) return x;
  // Not simply twice the size: where halving rounded, the skip connection tells the true size.
  return (*upsampler_)(x,
                       LatentSize{.width = skips.back().size(3), .height = skips.back().size(2)});
}

}  // namespace sdrbee
