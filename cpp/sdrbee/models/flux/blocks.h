// The two kinds of blocks of FLUX's network.
#pragma once

#include "sdrbee/models/common/feed_forward.h"
#include "sdrbee/models/common/joint_attention.h"
#include "sdrbee/nn/modulation.h"

namespace sdrbee::flux {

/// What all blocks are given beside the tokens.
struct BlockInputs {
  Tensor activated;  ///< silu of the embedding of time, text and guidance [B, width]
  Tensor rotations;  ///< of the text's tokens, then the picture's, see nn::rotations
};

/// Text and picture with weights of their own; attention is over both.
class DoubleBlock {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  DoubleBlock(const io::WeightScope& scope, const AttentionConfig& config);
  JointTokens operator()(const JointTokens& tokens, const BlockInputs& inputs) const;

 private:
  nn::Modulation norm1_;
  nn::Modulation norm1_context_;
  JointAttention attn_;
  FeedForward ff_;
  FeedForward ff_context_;
};

/// One sequence of text and picture; attention and feed-forward side by side.
class SingleBlock {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  SingleBlock(const io::WeightScope& scope, const AttentionConfig& config);

  /// [B, text + picture, width] -> the same.
  Tensor operator()(const Tensor& tokens, const BlockInputs& inputs) const;

 private:
  nn::Modulation norm_;
  QkvProjections projections_;
  nn::Linear proj_mlp_;
  nn::Linear proj_out_;
  int64_t heads_;
};

}  // namespace sdrbee::flux
