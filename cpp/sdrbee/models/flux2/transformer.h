// FLUX.2's network: double blocks, then single blocks, over the tokens of text and picture.
// https://github.com/black-forest-labs/flux2
#pragma once

#include <vector>

#include "sdrbee/models/flux2/blocks.h"

namespace sdrbee::flux2 {

/// What the network is evaluated on.
struct TransformerInputs {
  Tensor tokens;     ///< [B, N, in_channels] of the latents, then of reference pictures
  Tensor positions;  ///< [N, 4] fp64: number of the picture, row, column, 0
  Tensor timesteps;  ///< [B], 1 for noise, 0 for a picture
  Tensor context;    ///< [B, T, joint_attention_dim]
};

/// Flux2Transformer2DModel of diffusers without guidance embedding.
class Transformer {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  Transformer(const io::WeightScope& scope, const TransformerConfig& config);

  /// The predicted velocity of all tokens, [B, N, out_channels].
  Tensor operator()(const TransformerInputs& inputs) const;

 private:
  Tensor embed_time(const Tensor& timesteps) const;
  Tensor rotations_of(const TransformerInputs& inputs) const;

  TransformerConfig config_;
  at::TensorOptions options_;
  nn::Linear time_in_;
  nn::Linear time_out_;
  nn::Linear double_stream_modulation_img_;
  nn::Linear double_stream_modulation_txt_;
  nn::Linear single_stream_modulation_;
  nn::Linear x_embedder_;
  nn::Linear context_embedder_;
  std::vector<DoubleBlock> transformer_blocks_;
  std::vector<SingleBlock> single_transformer_blocks_;
  nn::Linear norm_out_;
  nn::Linear proj_out_;
};

}  // namespace sdrbee::flux2
