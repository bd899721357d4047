// The blocks of a UNet, each at one resolution.
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/models/common/transformer_2d.h"
#include "sdrbee/models/common/unet_2d_condition_config.h"
#include "sdrbee/nn/resnet_block.h"

namespace sdrbee {

/// What all blocks of one evaluation share.
struct UnetBlockInputs {
  Tensor activated_time;                 ///< silu(time embedding), [B, time]
  Tensor context;                        ///< [B, tokens, width]
  std::vector<ExtraContext> extra = {};  ///< what cross-attentions see beside it
};

/// What all blocks of one network share, and the widths that come from their neighbours.
struct UnetBlockShape {
  UnetBlockConfig block;
  int64_t in = 0;    ///< channels that come in
  int64_t skip = 0;  ///< up blocks: channels of the skip connection that the last layer takes
  int64_t time = 0;  ///< width of the time embedding
  int64_t groups = 32;
  double eps = 1e-5;
};

/// DownBlock2D and CrossAttnDownBlock2D of diffusers.
class UnetDownBlock {
 public:
  /// `downsample`: how to halve the resolution at the end; nothing for the last block.
  UnetDownBlock(const io::WeightScope& scope, const UnetBlockShape& shape,
                const std::optional<nn::DownsamplePadding>& downsample);

  /// Returns the result and appends the outputs of all layers to `skips`. `feature`, where it is
  /// defined, is added to the output of the last layer in a block with attention, else to the
  /// result.
  Tensor operator()(Tensor x, const UnetBlockInputs& inputs, std::vector<Tensor>& skips,
                    const Tensor& feature = {}) const;

 private:
  std::vector<nn::ResnetBlock> resnets_;
  std::vector<Transformer2D> attentions_;  // as many as resnets_, or none
  std::optional<nn::Downsample> downsampler_;
};

/// UNetMidBlock2DCrossAttn and UNetMidBlock2D of diffusers.
class UnetMidBlock {
 public:
  UnetMidBlock(const io::WeightScope& scope, const UnetBlockShape& shape);
  Tensor operator()(const Tensor& x, const UnetBlockInputs& inputs) const;

 private:
  std::vector<nn::ResnetBlock> resnets_;
  std::vector<Transformer2D> attentions_;  // one between two resnets_, or none
};

/// UpBlock2D and CrossAttnUpBlock2D of diffusers.
class UnetUpBlock {
 public:
  /// `upsample`: whether the resolution doubles at the end.
  UnetUpBlock(const io::WeightScope& scope, const UnetBlockShape& shape, bool upsample);

  /// Takes the outputs that its layers need off the end of `skips`; the result has the size of the
  /// then last of them.
  Tensor operator()(Tensor x, const UnetBlockInputs& inputs, std::vector<Tensor>& skips) const;

 private:
  std::vector<nn::ResnetBlock> resnets_;
  std::vector<Transformer2D> attentions_;  // as many as resnets_, or none
  std::optional<nn::Upsample> upsampler_;
};

}  // namespace sdrbee
