// FLUX's network (FluxTransformer2DModel): a transformer over the tokens of text and picture.
#pragma once

#include <vector>

#include "sdrbee/models/common/time_text_embedding.h"
#include "sdrbee/models/flux/blocks.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {

/// What the network is given in one evaluation; tensors of any float dtype.
struct TransformerInputs {
  Tensor tokens;      ///< [B, N, in_channels], see patches.h
  Tensor positions;   ///< of the tokens [N, 3]: picture, row, column; the text is at 0
  Tensor timesteps;   ///< noise levels [B] in 0..1
  Tensor context;     ///< the text's tokens [B, T, joint_attention_dim]
  Tensor pooled;      ///< [B, pooled_projection_dim]
  Tensor guidance{};  ///< guidance scales [B], where the network takes them
};

/// Blocks that keep text and picture apart, then blocks over one sequence of both.
class Transformer {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  Transformer(const io::WeightScope& scope, const TransformerConfig& config);

  /// The velocity [B, N, out_channels] in the network's dtype.
  Tensor operator()(const TransformerInputs& inputs) const;

  const TransformerConfig& config() const { return config_; }

 private:
  Tensor embed(const TransformerInputs& inputs) const;
  Tensor rotations_of(const TransformerInputs& inputs) const;

  TransformerConfig config_;
  at::TensorOptions options_;
  TimeTextEmbedding time_text_embed_;
  nn::Linear context_embedder_;
  nn::Linear x_embedder_;
  std::vector<DoubleBlock> transformer_blocks_;
  std::vector<SingleBlock> single_transformer_blocks_;
  nn::Modulation norm_out_;
  nn::Linear proj_out_;
};

}  // namespace sdrbee::flux
