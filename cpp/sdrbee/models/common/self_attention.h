// Attention of a diffusion transformer: over one sequence, with normalised and turned heads.
#pragma once

#include <optional>

#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee {

/// What the attentions of one network have in common.
struct AttentionConfig {
  int64_t heads = 1;
  int64_t head_width = 1;
  bool qk_norm = true;  ///< heads of queries and keys have an RMS norm
  double norm_eps = 1e-6;
  bool bias = true;  ///< of all linear layers

  int64_t width() const { return heads * head_width; }
};

/// Queries, keys and values, [B, N, width] each.
struct Qkv {
  Tensor q;
  Tensor k;
  Tensor v;
};

/// The names that the layers of one sequence have in the checkpoint.
struct QkvNames {
  const char* q = "to_q";
  const char* k = "to_k";
  const char* v = "to_v";
  const char* norm_q = "norm_q";
  const char* norm_k = "norm_k";
};

/// What is done to the heads of queries and keys before they meet.
class QkNorm {
 public:
  /// Takes the two norms, where the network has them. Throws CheckpointError.
  QkNorm(const io::WeightScope& scope, const AttentionConfig& config, const QkvNames& names = {});

  /// [B, N, width] -> the same: heads normalised, then turned by `rotations` [N, head_width / 2]
  /// (see nn::rotations) where there are any.
  Tensor queries(const Tensor& raw, const Tensor& rotations = {}) const;
  Tensor keys(const Tensor& raw, const Tensor& rotations = {}) const;

 private:
  Tensor applied(const Tensor& tokens, const std::optional<nn::RmsNorm>& norm,
                 const Tensor& rotations) const;

  std::optional<nn::RmsNorm> norm_q_;
  std::optional<nn::RmsNorm> norm_k_;
  AttentionConfig config_;
};

/// The layers that make queries, keys and values of one sequence.
class QkvProjections {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  QkvProjections(const io::WeightScope& scope, const AttentionConfig& config,
                 const QkvNames& names = {});

  /// [B, N, width] -> q, k and v; `rotations` as for QkNorm.
  Qkv operator()(const Tensor& tokens, const Tensor& rotations = {}) const;

 private:
  nn::Linear q_;
  nn::Linear k_;
  nn::Linear v_;
  QkNorm norm_;
};

/// Attention of a sequence to itself, with the layer behind it.
class SelfAttention {
 public:
  /// Takes the layers of QkvProjections and `to_out.0`. Throws CheckpointError.
  SelfAttention(const io::WeightScope& scope, const AttentionConfig& config);

  /// [B, N, width] -> the same; `rotations` as for QkNorm.
  Tensor operator()(const Tensor& tokens, const Tensor& rotations = {}) const;

 private:
  QkvProjections projections_;
  nn::Linear out_;
  int64_t heads_;
};

}  // namespace sdrbee
