#include "sdrbee/models/flux2/blocks.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>

#include "sdrbee/models/common/add_gated.h"
#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/modulation.h"

namespace sdrbee::flux2 {
namespace {

AttentionConfig attention_config(const TransformerConfig& config) {
  return {
      .heads = config.num_attention_heads, .head_width = config.attention_head_dim, .bias = false};
}

/// The layer norm with the shift and scale that begin at `first`.
Tensor modulated(const Tensor& tokens, const Modulations& parts, size_t first) {
  return nn::modulated_norm(tokens, {.scale = parts[first + 1], .shift = parts[first]});
}

}  // namespace

DoubleBlock::DoubleBlock(const io::WeightScope& scope, const TransformerConfig& config)
    : attn_(scope / "attn", attention_config(config)),
      ff_(feed_forward(scope / "ff", config)),
      ff_context_(feed_forward(scope / "ff_context", config)) {}

DoubleBlock::FeedForward DoubleBlock::feed_forward(const io::WeightScope& scope,
                                                   const TransformerConfig& config) {
  return {nn::Linear(scope / "linear_in", config.width(), 2 * config.inner(), /*bias=*/false),
          nn::Linear(scope / "linear_out", config.inner(), config.width(), /*bias=*/false)};
}

Tensor DoubleBlock::FeedForward::operator()(const Tensor& tokens) const {
  const std::vector<Tensor> halves = linear_in(tokens).chunk(2, 2);
  return linear_out(at::silu(halves[0]).mul_(halves[1]));
}

Tensor DoubleBlock::finish(const Tensor& tokens, const Tensor& attended, const Modulations& parts,
                           const FeedForward& ff) {
  const Tensor x = add_gated(tokens, parts[2], attended);
  return add_gated(x, parts[5], ff(modulated(x, parts, 3)));
}

JointTokens DoubleBlock::operator()(const JointTokens& tokens, const Modulations& picture,
                                    const Modulations& text, const Tensor& rotations) const {
  const JointTokens attended = attn_(
      {.text = modulated(tokens.text, text, 0), .picture = modulated(tokens.picture, picture, 0)},
      rotations);
  return {.text = finish(tokens.text, attended.text, text, ff_context_),
          .picture = finish(tokens.picture, attended.picture, picture, ff_)};
}

SingleBlock::SingleBlock(const io::WeightScope& scope, const TransformerConfig& config)
    : to_qkv_mlp_proj_(scope / "attn.to_qkv_mlp_proj", config.width(),
                       3 * config.width() + 2 * config.inner(), /*bias=*/false),
      to_out_(scope / "attn.to_out", config.width() + config.inner(), config.width(),
              /*bias=*/false),
      norm_(scope / "attn", attention_config(config)),
      heads_(config.num_attention_heads),
      width_(config.width()),
      inner_(config.inner()) {}

Tensor SingleBlock::operator()(const Tensor& tokens, const Modulations& parts,
                               const Tensor& rotations) const {
  // Queries, keys, values, gate and value of the feed-forward.
  const std::vector<Tensor> all =
      to_qkv_mlp_proj_(modulated(tokens, parts, 0))
          .split_with_sizes({width_, width_, width_, inner_, inner_}, 2);
  const Tensor attended = nn::attention(norm_.queries(all[0], rotations),
                                        norm_.keys(all[1], rotations), all[2].contiguous(), heads_);
  const Tensor fed = at::silu(all[3]).mul_(all[4]);
  return add_gated(tokens, parts[2], to_out_(at::cat({attended, fed}, 2)));
}

}  // namespace sdrbee::flux2
