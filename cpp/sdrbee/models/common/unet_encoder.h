// The first half of a UNet: what a UNet and the ControlNets beside it have in common.
#pragma once

#include <optional>
#include <span>
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
  std::optional<Tensor> added_time = std::nullopt;  ///< added to the time embedding, [1, time]
};

/// Embeddings, first convolution, down blocks and middle block of a UNet.
class UnetEncoder {
 public:
  /// `scope` is the root of the network. Throws CheckpointError for missing or wrong weights.
  UnetEncoder(const io::WeightScope& scope, const Unet2DConditionConfig& config);

  /// The inputs that all blocks share. `timesteps` [B].
  UnetBlockInputs shared_inputs(const Tensor& timesteps, const Unet2DInputs& inputs) const;

  /// The first convolution of `latents` [B, in_channels, h, w].
  Tensor begin(const Tensor& latents) const;

  /// All down blocks; `x`, from begin(), and the outputs of all layers are appended to `skips`.
  /// `features` are added to what comes out of the first blocks, as UnetDownBlock has it.
  Tensor down(Tensor x, const UnetBlockInputs& shared, std::vector<Tensor>& skips,
              std::span<const Tensor> features = {}) const;

  /// The middle block, where there is one.
  Tensor middle(const Tensor& x, const UnetBlockInputs& shared) const;

  const Unet2DConditionConfig& config() const { return config_; }
  const at::TensorOptions& options() const { return options_; }

 private:
  Tensor embed_time(const Tensor& timesteps, const Unet2DInputs& inputs) const;
  Tensor embed_addition(const Unet2DInputs& inputs) const;

  Unet2DConditionConfig config_;
  at::TensorOptions options_;  // the weights' dtype and device
  nn::Conv2d conv_in_;
  nn::TimestepEmbedding time_embedding_;
  std::optional<nn::TimestepEmbedding> add_embedding_;
  std::vector<UnetDownBlock> down_blocks_;
  std::optional<UnetMidBlock> mid_block_;
};

/// What the blocks of a network share, for the block that gets `in` channels from its neighbour
/// and, when it is an up block, `skip` for its last layer.
UnetBlockShape unet_block_shape(const Unet2DConditionConfig& config, const UnetBlockConfig& block,
                                int64_t in, int64_t skip);

}  // namespace sdrbee
