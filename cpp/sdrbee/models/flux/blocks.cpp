#include "sdrbee/models/flux/blocks.h"

#include <ATen/ops/cat.h>

#include "sdrbee/models/common/add_gated.h"
#include "sdrbee/nn/attention.h"

namespace sdrbee::flux {
namespace {

constexpr int64_t kMlpFactor = 4;

/// The vectors of a modulation: of the attention, then of the feed-forward.
struct Parts {
  explicit Parts(const std::vector<Tensor>& parts)
      : attention{.scale = parts[1], .shift = parts[0]},
        attention_gate(parts[2]),
        feed_forward{.scale = parts[4], .shift = parts[3]},
        feed_forward_gate(parts[5]) {}

  nn::ScaleAndShift attention;
  Tensor attention_gate;
  nn::ScaleAndShift feed_forward;
  Tensor feed_forward_gate;
};

/// One of the two sequences after its attention [B, N, width].
Tensor finish(const Tensor& tokens, const Tensor& attended, const Parts& parts,
              const FeedForward& ff) {
  const Tensor x = add_gated(tokens, parts.attention_gate, attended);
  return add_gated(x, parts.feed_forward_gate, ff(nn::modulated_norm(x, parts.feed_forward)));
}

}  // namespace

DoubleBlock::DoubleBlock(const io::WeightScope& scope, const AttentionConfig& config)
    : norm1_(scope / "norm1", config.width(), 6),
      norm1_context_(scope / "norm1_context", config.width(), 6),
      attn_(scope / "attn", config),
      ff_(scope / "ff", config.width()),
      ff_context_(scope / "ff_context", config.width()) {}

JointTokens DoubleBlock::operator()(const JointTokens& tokens, const BlockInputs& inputs) const {
  const Parts picture(norm1_(inputs.activated));
  const Parts text(norm1_context_(inputs.activated));
  const JointTokens attended =
      attn_({.text = nn::modulated_norm(tokens.text, text.attention),
             .picture = nn::modulated_norm(tokens.picture, picture.attention)},
            inputs.rotations);
  return {.text = finish(tokens.text, attended.text, text, ff_context_),
          .picture = finish(tokens.picture, attended.picture, picture, ff_)};
}

SingleBlock::SingleBlock(const io::WeightScope& scope, const AttentionConfig& config)
    : norm_(scope / "norm", config.width(), 3),
      projections_(scope / "attn", config),
      proj_mlp_(scope / "proj_mlp", config.width(), kMlpFactor * config.width()),
      proj_out_(scope / "proj_out", (1 + kMlpFactor) * config.width(), config.width()),
      heads_(config.heads) {}

Tensor SingleBlock::operator()(const Tensor& tokens, const BlockInputs& inputs) const {
  const std::vector<Tensor> parts = norm_(inputs.activated);  // shift, scale, gate
  const Tensor normed = nn::modulated_norm(tokens, {.scale = parts[1], .shift = parts[0]});
  const Qkv own = projections_(normed, inputs.rotations);
  const Tensor attended = nn::attention(own.q, own.k, own.v, heads_);
  const Tensor inner = proj_mlp_.activated(normed, nn::Activation::GeluTanh);
  return add_gated(tokens, parts[2], proj_out_(at::cat({attended, inner}, 2)));
}

}  // namespace sdrbee::flux
