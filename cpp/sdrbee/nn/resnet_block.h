// The residual block of UNets and VAEs, and the changes of resolution between blocks.
#pragma once

#include <optional>

#include "sdrbee/core/size.h"
#include "sdrbee/nn/conv2d.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::nn {

/// The sizes of a ResnetBlock.
struct ResnetShape {
  int64_t in = 0;
  int64_t out = 0;
  std::optional<int64_t> time =
      std::nullopt;  ///< width of the time embedding, where the block takes one
  int64_t groups = 32;
  double eps = 1e-6;
};

/// x + conv2(silu(norm2(conv1(silu(norm1(x))) + time))), [B, in, H, W] -> [B, out, H, W].
/// Where in and out differ x goes through the 1x1 convolution `conv_shortcut`.
class ResnetBlock {
 public:
  ResnetBlock(const io::WeightScope& scope, const ResnetShape& shape);

  /// `activated_time` is silu(time embedding) [B, time]: the same for all blocks of a network, so
  /// that it's made once. Nothing for blocks without one. An x that the caller gives up and
  /// nothing else holds may be overwritten.
  Tensor operator()(Tensor x, const std::optional<Tensor>& activated_time = std::nullopt) const;

  /// What norm2 sees when norm1 has `first`, moments of a whole that x is a part of. For blocks
  /// without a time embedding, like the next.
  Tensor hidden(const Tensor& x, const GroupMoments& first) const;

  /// The block with given moments of the whole: `second` are those of its hidden().
  Tensor operator()(const Tensor& x, const GroupMoments& first, const GroupMoments& second) const;

  int64_t groups() const { return norm1_.groups(); }

 private:
  Tensor shortcut(const Tensor& x) const { return conv_shortcut_ ? (*conv_shortcut_)(x) : x; }

  GroupNorm norm1_;
  Conv2d conv1_;
  std::optional<Linear> time_emb_proj_;
  GroupNorm norm2_;
  Conv2d conv2_;
  std::optional<Conv2d> conv_shortcut_;
};

/// Which pixels a Downsample pads with zeros.
enum class DownsamplePadding {
  AllSides,        ///< one row or column on each side
  RightAndBottom,  ///< as the encoders of latent diffusion do it
};

/// Halves height and width by a convolution of stride 2 that keeps the channels.
class Downsample {
 public:
  Downsample(const io::WeightScope& scope, int64_t channels, DownsamplePadding padding);

  Tensor operator()(const Tensor& x) const;

 private:
  Conv2d conv_;
  DownsamplePadding padding_;
};

/// Repeats pixels to a larger size, then convolves.
class Upsample {
 public:
  Upsample(const io::WeightScope& scope, int64_t channels);

  /// To `size`, or to twice the size of `x`.
  Tensor operator()(const Tensor& x, const std::optional<LatentSize>& size = std::nullopt) const;

 private:
  Conv2d conv_;
};

}  // namespace sdrbee::nn
