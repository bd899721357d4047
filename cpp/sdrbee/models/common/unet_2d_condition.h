// The denoising UNet of Stable Diffusion 1.x, 2.x and XL (Rombach et al. 2022, arXiv:2112.10752;
// Podell et al. 2023, arXiv:2307.01952).
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/models/common/unet_blocks.h"
#include "sdrbee/nn/timestep.h"

namespace sdrbee {

/// What a UNet is conditioned on besides the timestep; B is that of the latents.
struct Unet2DInputs {
  Tensor context;                                    ///< [B, tokens, cross_attention_dim]
  std::optional<Tensor> text_embeds = std::nullopt;  ///< [B, P] pooled text, for text_time models
  std::optional<Tensor> time_ids = std::nullopt;     ///< [B, 6] sizes and crop, for the same
  std::optional<Tensor> guidance =
      std::nullopt;  ///< [B, time_cond_proj_dim], see guidance_embedding
};

/// UNet2DConditionModel of diffusers. Inputs may be of any float dtype and on any device.
class Unet2DCondition {
 public:
  /// Throws CheckpointError for missing or wrong weights.
  Unet2DCondition(const io::WeightScope& scope, const Unet2DConditionConfig& config);

  /// `latents` [B, in_channels, h, w] of any size, `timesteps` [B] -> [B, out_channels, h, w] in
  /// the dtype and on the device that the weights were taken in.
  Tensor operator()(const Tensor& latents, const Tensor& timesteps,
                    const Unet2DInputs& inputs) const;

  const Unet2DConditionConfig& config() const { return config_; }

 private:
  UnetBlockShape shape_of(const UnetBlockConfig& block, int64_t in, int64_t skip) const;
  void take_down_blocks(const io::WeightScope& scope);
  void take_up_blocks(const io::WeightScope& scope);
  Tensor embed_time(const Tensor& timesteps, const Unet2DInputs& inputs) const;
  Tensor embed_addition(const Unet2DInputs& inputs) const;

  Unet2DConditionConfig config_;
  at::TensorOptions options_;
  nn::Conv2d conv_in_;
  nn::TimestepEmbedding time_embedding_;
  std::optional<nn::TimestepEmbedding> add_embedding_;
  std::vector<UnetDownBlock> down_blocks_;
  std::optional<UnetMidBlock> mid_block_;
  std::vector<UnetUpBlock> up_blocks_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

/// The embedding of a guidance scale that distilled models take: `scales` [B] -> fp32 [B, width].
/// Of scale - 1, in thousands, with shift 1 of the frequencies, sines first.
/// Meng et al. 2022, arXiv:2210.03142; as in diffusers' get_guidance_scale_embedding.
Tensor guidance_embedding(const Tensor& scales, int64_t width);

}  // namespace sdrbee
