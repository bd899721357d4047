// What FLUX's network and its ControlNets have in common.
#pragma once

#include <vector>

#include "sdrbee/models/common/time_text_embedding.h"
#include "sdrbee/models/flux/blocks.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {

/// What a network is given in one evaluation; tensors of any float dtype.
struct TransformerInputs {
  Tensor tokens;      ///< [B, N, in_channels], see patches.h
  Tensor positions;   ///< of the tokens [N, 3]: picture, row, column; the text is at 0
  Tensor timesteps;   ///< noise levels [B] in 0..1
  Tensor context;     ///< the text's tokens [B, T, joint_attention_dim]
  Tensor pooled;      ///< [B, pooled_projection_dim]
  Tensor guidance{};  ///< guidance scales [B], where the network takes them
};

/// Embeddings, then blocks that keep text and picture apart, then blocks over one sequence of both.
class Trunk {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  Trunk(const io::WeightScope& scope, const TransformerConfig& config);

  /// What the blocks are given beside the tokens. `before_text` tokens stand before those of the
  /// text.
  BlockInputs shared_inputs(const TransformerInputs& inputs, int64_t before_text = 0) const;

  /// Text and picture, embedded.
  JointTokens embed(const TransformerInputs& inputs) const;

  const std::vector<DoubleBlock>& transformer_blocks() const { return transformer_blocks_; }
  const std::vector<SingleBlock>& single_transformer_blocks() const {
    return single_transformer_blocks_;
  }
  const TransformerConfig& config() const { return config_; }
  const at::TensorOptions& options() const { return options_; }

 private:
  Tensor activated(const TransformerInputs& inputs) const;

  TransformerConfig config_;
  at::TensorOptions options_;
  TimeTextEmbedding time_text_embed_;
  nn::Linear context_embedder_;
  nn::Linear x_embedder_;
  std::vector<DoubleBlock> transformer_blocks_;
  std::vector<SingleBlock> single_transformer_blocks_;
};

}  // namespace sdrbee::flux
