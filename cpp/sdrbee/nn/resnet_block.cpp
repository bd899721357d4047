#include "sdrbee/nn/resnet_block.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/circular_padding.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee::nn {
namespace {

constexpr Conv2dOptions kSameSize{.padding = 1};

}  // namespace

ResnetBlock::ResnetBlock(const io::WeightScope& scope, const ResnetShape& shape)
    : norm1_(scope / "norm1", shape.groups, shape.in, shape.eps),
      conv1_(scope / "conv1", shape.in, shape.out, 3, kSameSize),
      norm2_(scope / "norm2", shape.groups, shape.out, shape.eps),
      conv2_(scope / "conv2", shape.out, shape.out, 3, kSameSize) {
  if (shape.time) time_emb_proj_.emplace(scope / "time_emb_proj", *shape.time, shape.out);
  if (shape.in != shape.out)
    conv_shortcut_.emplace(scope / "conv_shortcut", shape.in, shape.out, 1);
}

Tensor ResnetBlock::operator()(Tensor x, const std::optional<Tensor>& activated_time) const {
  SDRBEE_CHECK(activated_time.has_value() == time_emb_proj_.has_value());
  // Each tensor may be the size of a picture with hundreds of channels: none outlives its use. The
  // shortcut comes first, so that x is free to be overwritten.
  const Tensor residual = shortcut(x);
  x = conv1_(norm1_.silu(std::move(x)));
  const Tensor shift = time_emb_proj_ ? (*time_emb_proj_)(*activated_time) : Tensor();
  return conv2_.add(norm2_.silu(std::move(x), shift), residual);
}

Tensor ResnetBlock::hidden(const Tensor& x, const GroupMoments& first) const {
  SDRBEE_CHECK(!time_emb_proj_.has_value());
  return conv1_(norm1_.silu(x, first));
}

Tensor ResnetBlock::operator()(const Tensor& x, const GroupMoments& first,
                               const GroupMoments& second) const {
  return conv2_.add(norm2_.silu(hidden(x, first), second), shortcut(x));
}

Downsample::Downsample(const io::WeightScope& scope, int64_t channels, DownsamplePadding padding)
    : conv_(scope / "conv", channels, channels, 3,
            {.stride = 2, .padding = padding == DownsamplePadding::AllSides ? 1 : 0}),
      padding_(padding) {}

Tensor Downsample::operator()(const Tensor& x) const {
  if (padding_ == DownsamplePadding::AllSides) return conv_(x);
  if (!CircularPadding::acts())
    return conv_(at::constant_pad_nd(x, {0, 1, 0, 1}));  // left, right, top, bottom
  const Tensor padded = CircularPadding::pad(x, {.right = 1, .bottom = 1});
  return conv_(at::constant_pad_nd(
      padded, {0, x.size(3) + 1 - padded.size(3), 0, x.size(2) + 1 - padded.size(2)}));
}

Upsample::Upsample(const io::WeightScope& scope, int64_t channels)
    : conv_(scope / "conv", channels, channels, 3, kSameSize) {}

Tensor Upsample::operator()(const Tensor& x, const std::optional<LatentSize>& size) const {
  const LatentSize target = size.value_or(LatentSize{x.size(3) * 2, x.size(2) * 2});
  return conv_(at::upsample_nearest2d(channels_last(x), {target.height, target.width}));
}

}  // namespace sdrbee::nn
