// The block that all parts of Z-Image's network are made of.
#pragma once

#include <optional>

#include "sdrbee/models/common/self_attention.h"
#include "sdrbee/models/z_image/transformer_config.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::z_image {

/// Attention over one sequence and a gated feed-forward layer, each between two norms; both are
/// scaled by the timestep where the block is modulated.
class Block {
 public:
  Block(const io::WeightScope& scope, const TransformerConfig& config, bool modulated);

  /// [B, N, dim] -> the same; `rotations` [N, head_width / 2], `time` [B, time_width] where the
  /// block is modulated.
  Tensor operator()(const Tensor& tokens, const Tensor& rotations, const Tensor& time = {}) const;

 private:
  struct FeedForward {
    nn::Linear w1;
    nn::Linear w2;
    nn::Linear w3;
    Tensor operator()(const Tensor& tokens) const;
  };

  nn::RmsNorm attention_norm1_;
  SelfAttention attention_;
  nn::RmsNorm attention_norm2_;
  nn::RmsNorm ffn_norm1_;
  FeedForward feed_forward_;
  nn::RmsNorm ffn_norm2_;
  std::optional<nn::Linear> adaLN_modulation_;
};

}  // namespace sdrbee::z_image
