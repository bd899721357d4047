// The two halves of AutoencoderKL: pictures to moments of latents, and latents to pictures.
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/conv2d.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"
#include "sdrbee/nn/resnet_block.h"
#include "sdrbee/vae/autoencoder_kl_config.h"
#include "sdrbee/vae/stage.h"

namespace sdrbee::vae {

/// Self-attention with one head over the pixels of a picture, added to the picture.
class PictureAttention {
 public:
  /// Takes `group_norm`, `to_q`, `to_k`, `to_v`, `to_out.0`, or the names of older files (`query`,
  /// `key`, `value`, `proj_attn`).
  PictureAttention(const io::WeightScope& scope, int64_t channels, int64_t groups);
  Tensor operator()(const Tensor& x) const;

 private:
  nn::GroupNorm group_norm_;
  nn::Linear to_q_;
  nn::Linear to_k_;
  nn::Linear to_v_;
  nn::Linear to_out_;
};

/// Residual block, attention (where the model has it), residual block.
class MidBlock {
 public:
  MidBlock(const io::WeightScope& scope, const AutoencoderKlConfig& config);
  Tensor operator()(const Tensor& x) const;

 private:
  nn::ResnetBlock first_;
  std::optional<PictureAttention> attention_;
  nn::ResnetBlock second_;
};

/// [B, in_channels, H, W] -> mean and log-variance, [B, 2 * latent_channels, H', W'].
class Encoder {
 public:
  Encoder(const io::WeightScope& scope, const AutoencoderKlConfig& config);

  /// In tiles where `tile` is given, see Stage::run_in_tiles.
  Tensor operator()(const Tensor& picture, const std::optional<int64_t>& tile = std::nullopt) const;

 private:
  struct Block {
    std::vector<nn::ResnetBlock> resnets;
    std::optional<nn::Downsample> downsampler;
  };

  std::vector<Stage> stages() const;

  nn::Conv2d conv_in_;
  std::vector<Block> down_blocks_;
  MidBlock mid_block_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

/// [B, latent_channels, h, w] -> [B, out_channels, H, W].
class Decoder {
 public:
  Decoder(const io::WeightScope& scope, const AutoencoderKlConfig& config);

  /// In tiles where `tile` is given, see Stage::run_in_tiles.
  Tensor operator()(const Tensor& latents, const std::optional<int64_t>& tile = std::nullopt) const;

 private:
  struct Block {
    std::vector<nn::ResnetBlock> resnets;
    std::optional<nn::Upsample> upsampler;
  };

  std::vector<Stage> stages() const;

  nn::Conv2d conv_in_;
  MidBlock mid_block_;
  std::vector<Block> up_blocks_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

}  // namespace sdrbee::vae
