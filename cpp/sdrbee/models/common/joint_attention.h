// The attention that text and picture share in a multimodal diffusion transformer (Esser et al.
// 2024, arXiv:2403.03206, 4).
#pragma once

#include <optional>

#include "sdrbee/models/common/self_attention.h"

namespace sdrbee {

/// Tokens of text and picture, [B, N, width] each.
struct JointTokens {
  Tensor text;
  Tensor picture;
};

/// What tells one network's joint attention from another's.
struct JointAttentionOptions {
  bool text_out = true;        ///< the text goes on behind it
  bool picture_first = false;  ///< in the joined sequence, which matters to rounding alone
};

/// Text and picture with weights of their own; attention is over both.
class JointAttention {
 public:
  /// Takes the picture's layers under the names of SelfAttention, and the text's: `add_q_proj`,
  /// `add_k_proj`, `add_v_proj`, `norm_added_q`, `norm_added_k`, `to_add_out`.
  /// Throws CheckpointError.
  JointAttention(const io::WeightScope& scope, const AttentionConfig& config,
                 const JointAttentionOptions& options = {});

  /// What attention adds to both sequences; the text's is undefined without `text_out`.
  /// `rotations` [T + N, head_width / 2], of the text's tokens, then the picture's, where there are
  /// any.
  JointTokens operator()(const JointTokens& tokens, const Tensor& rotations = {}) const;

 private:
  QkvProjections picture_;
  QkvProjections text_;
  nn::Linear out_;
  std::optional<nn::Linear> text_out_;
  int64_t heads_;
  bool picture_first_;
};

}  // namespace sdrbee
