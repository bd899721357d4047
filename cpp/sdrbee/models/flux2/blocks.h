// The two kinds of blocks of FLUX.2's network. Shifts, scales and gates come from outside: all
// blocks of a kind share them.
#pragma once

#include <vector>

#include "sdrbee/models/common/joint_attention.h"
#include "sdrbee/models/flux2/transformer_config.h"
#include "sdrbee/nn/linear.h"

namespace sdrbee::flux2 {

/// Shift, scale and gate of each part of a block, [B, 1, width] each.
using Modulations = std::vector<Tensor>;

/// Text and picture with weights of their own; attention is over both.
class DoubleBlock {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  DoubleBlock(const io::WeightScope& scope, const TransformerConfig& config);

  /// `picture` and `text` are those of attention and feed-forward, 6 each; `rotations` are of the
  /// text's tokens, then the picture's.
  JointTokens operator()(const JointTokens& tokens, const Modulations& picture,
                         const Modulations& text, const Tensor& rotations) const;

 private:
  /// Gated by silu: the halves of linear_in are gate and value.
  struct FeedForward {
    nn::Linear linear_in;
    nn::Linear linear_out;
    Tensor operator()(const Tensor& tokens) const;
  };
  static FeedForward feed_forward(const io::WeightScope& scope, const TransformerConfig& config);
  static Tensor finish(const Tensor& tokens, const Tensor& attended, const Modulations& parts,
                       const FeedForward& ff);

  JointAttention attn_;
  FeedForward ff_;
  FeedForward ff_context_;
};

/// One sequence of text and picture; attention and feed-forward side by side.
class SingleBlock {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  SingleBlock(const io::WeightScope& scope, const TransformerConfig& config);

  /// [B, text + picture, width] -> the same; `parts` are 3.
  Tensor operator()(const Tensor& tokens, const Modulations& parts, const Tensor& rotations) const;

 private:
  nn::Linear to_qkv_mlp_proj_;
  nn::Linear to_out_;
  QkNorm norm_;
  int64_t heads_;
  int64_t width_;
  int64_t inner_;
};

}  // namespace sdrbee::flux2
