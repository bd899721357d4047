// A block of the multimodal diffusion transformer (Esser et al. 2024, arXiv:2403.03206, 4).
#pragma once

#include <optional>

#include "sdrbee/models/common/feed_forward.h"
#include "sdrbee/models/common/joint_attention.h"
#include "sdrbee/nn/modulation.h"

namespace sdrbee::sd3 {

/// What tells blocks of one network apart.
struct BlockKind {
  bool dual_attention = false;  ///< the picture's tokens attend to themselves once more
  bool last = false;            ///< the text's tokens end here
};

/// Text and picture with weights of their own; attention is over both.
class JointBlock {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  JointBlock(const io::WeightScope& scope, const AttentionConfig& attention, const BlockKind& kind);

  /// `activated` [B, width] is the silu of the embedding of time and text. The last block leaves
  /// the text as it is.
  JointTokens operator()(const JointTokens& tokens, const Tensor& activated) const;

 private:
  nn::Modulation norm1_;
  nn::Modulation norm1_context_;
  JointAttention attn_;
  std::optional<SelfAttention> attn2_;
  FeedForward ff_;
  std::optional<FeedForward> ff_context_;
};

/// A block over the picture's tokens alone, as ControlNets without text have it.
class PictureBlock {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  PictureBlock(const io::WeightScope& scope, const AttentionConfig& attention);

  /// Tokens [B, N, width] -> the same; `activated` as for JointBlock.
  Tensor operator()(const Tensor& picture, const Tensor& activated) const;

 private:
  nn::Modulation norm1_;
  SelfAttention attn_;
  FeedForward ff_;
};

}  // namespace sdrbee::sd3
