// A block of the multimodal diffusion transformer (Esser et al. 2024, arXiv:2403.03206, 4).
#pragma once

#include <optional>

#include "sdrbee/models/common/feed_forward.h"
#include "sdrbee/nn/modulation.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::sd3 {

/// The sizes that all blocks share.
struct BlockShape {
  int64_t heads = 1;
  int64_t head_width = 1;
  bool qk_norm = false;

  int64_t width() const { return heads * head_width; }
};

/// What tells blocks of one network apart.
struct BlockKind {
  bool dual_attention = false;  ///< the picture's tokens attend to themselves once more
  bool last = false;            ///< the text's tokens end here
};

/// Tokens of text and picture, [B, N, width] each.
struct JointTokens {
  Tensor text;
  Tensor picture;
};

/// Queries, keys and values, [B, N, width] each.
struct Projected {
  Tensor q;
  Tensor k;
  Tensor v;
};

/// The layers that make queries, keys and values of one sequence.
class Projections {
 public:
  /// The names of the layers in the checkpoint.
  struct Names {
    const char* q;
    const char* k;
    const char* v;
    const char* norm_q;
    const char* norm_k;
  };
  Projections(const io::WeightScope& scope, const BlockShape& shape, const Names& names);

  /// [B, N, width] -> q, k and v, heads of q and k normalised where the network has it so.
  Projected operator()(const Tensor& tokens) const;

 private:
  nn::Linear q_;
  nn::Linear k_;
  nn::Linear v_;
  std::optional<nn::RmsNorm> norm_q_;
  std::optional<nn::RmsNorm> norm_k_;
  BlockShape shape_;
};

/// Text and picture with weights of their own; attention is over both.
class JointBlock {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  JointBlock(const io::WeightScope& scope, const BlockShape& shape, const BlockKind& kind);

  /// `activated` [B, width] is the silu of the embedding of time and text. The last block leaves
  /// the text as it is.
  JointTokens operator()(const JointTokens& tokens, const Tensor& activated) const;

 private:
  /// The end of one sequence: from attention to the feed-forward layer's output.
  struct Ending {
    nn::Linear out;
    FeedForward ff;
  };
  struct SelfAttention {
    Projections projections;
    nn::Linear out;
  };
  Tensor attend_again(const Tensor& picture, const Tensor& normed, const Tensor& gate) const;

  nn::Modulation norm1_;
  nn::Modulation norm1_context_;
  Projections picture_;
  Projections text_;
  Ending picture_ending_;
  std::optional<Ending> text_ending_;
  std::optional<SelfAttention> attn2_;
  int64_t heads_;
};

}  // namespace sdrbee::sd3
