// The two kinds of blocks of FLUX's network.
#pragma once

#include <optional>

#include "sdrbee/models/common/feed_forward.h"
#include "sdrbee/nn/modulation.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::flux {

/// The sizes that all blocks share.
struct BlockShape {
  int64_t heads = 1;
  int64_t head_width = 1;

  int64_t width() const { return heads * head_width; }
};

/// What all blocks are given beside the tokens.
struct BlockInputs {
  Tensor activated;  ///< silu of the embedding of time, text and guidance [B, width]
  Tensor rotations;  ///< of the text's tokens, then the picture's, see nn::rotations
};

/// Tokens of text and picture, [B, N, width] each.
struct JointTokens {
  Tensor text;
  Tensor picture;
};

/// Queries and keys with normalised, turned heads, and values: [B, N, width] each.
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

  /// [B, N, width] -> q, k and v; `rotations` [N, head_width / 2].
  Projected operator()(const Tensor& tokens, const Tensor& rotations) const;

 private:
  nn::Linear q_;
  nn::Linear k_;
  nn::Linear v_;
  nn::RmsNorm norm_q_;
  nn::RmsNorm norm_k_;
  BlockShape shape_;
};

/// Text and picture with weights of their own; attention is over both.
class DoubleBlock {
 public:
  DoubleBlock(const io::WeightScope& scope, const BlockShape& shape);
  JointTokens operator()(const JointTokens& tokens, const BlockInputs& inputs) const;

 private:
  /// The half of the block that belongs to one of the two sequences.
  struct Stream {
    nn::Modulation norm1;
    Projections projections;
    nn::Linear out;
    FeedForward ff;

    /// The stream after its attention [B, N, width]; `parts` are those of norm1.
    Tensor finish(const Tensor& tokens, const Tensor& attended,
                  const std::vector<Tensor>& parts) const;
  };

  Stream picture_;
  Stream text_;
  int64_t heads_;
};

/// One sequence of text and picture; attention and feed-forward side by side.
class SingleBlock {
 public:
  SingleBlock(const io::WeightScope& scope, const BlockShape& shape);

  /// [B, text + picture, width] -> the same.
  Tensor operator()(const Tensor& tokens, const BlockInputs& inputs) const;

 private:
  nn::Modulation norm_;
  Projections projections_;
  nn::Linear proj_mlp_;
  nn::Linear proj_out_;
  int64_t heads_;
};

}  // namespace sdrbee::flux
