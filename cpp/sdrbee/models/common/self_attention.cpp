#include "sdrbee/models/common/self_attention.h"

#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/rope.h"

namespace sdrbee {

QkNorm::QkNorm(const io::WeightScope& scope, const AttentionConfig& config, const QkvNames& names)
    : config_(config) {
  if (!config.qk_norm) return;
  norm_q_.emplace(scope / names.norm_q, config.head_width, config.norm_eps);
  norm_k_.emplace(scope / names.norm_k, config.head_width, config.norm_eps);
}

Tensor QkNorm::queries(const Tensor& raw, const Tensor& rotations) const {
  return applied(raw, norm_q_, rotations);
}

Tensor QkNorm::keys(const Tensor& raw, const Tensor& rotations) const {
  return applied(raw, norm_k_, rotations);
}

Tensor QkNorm::applied(const Tensor& tokens, const std::optional<nn::RmsNorm>& norm,
                       const Tensor& rotations) const {
  if (!norm && !rotations.defined()) return tokens;
  // [B, N, width] -> [B, N, heads, head_width] -> [B, N, width]
  Tensor heads = tokens.unflatten(2, {config_.heads, config_.head_width});
  if (norm) heads = (*norm)(heads);
  if (rotations.defined()) heads = nn::rotate(heads, rotations);
  return heads.flatten(2);
}

QkvProjections::QkvProjections(const io::WeightScope& scope, const AttentionConfig& config,
                               const QkvNames& names)
    : q_(scope / names.q, config.width(), config.width(), config.bias),
      k_(scope / names.k, config.width(), config.width(), config.bias),
      v_(scope / names.v, config.width(), config.width(), config.bias),
      norm_(scope, config, names) {}

Qkv QkvProjections::operator()(const Tensor& tokens, const Tensor& rotations) const {
  return {.q = norm_.queries(q_(tokens), rotations),
          .k = norm_.keys(k_(tokens), rotations),
          .v = v_(tokens)};
}

SelfAttention::SelfAttention(const io::WeightScope& scope, const AttentionConfig& config)
    : projections_(scope, config),
      out_(scope / "to_out.0", config.width(), config.width(), config.bias),
      heads_(config.heads) {}

Tensor SelfAttention::operator()(const Tensor& tokens, const Tensor& rotations) const {
  const Qkv own = projections_(tokens, rotations);
  return out_(nn::attention(own.q, own.k, own.v, heads_));
}

}  // namespace sdrbee
