#include "sdrbee/models/z_image/block.h"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/tanh.h>

#include <vector>

namespace sdrbee::z_image {
namespace {

constexpr double kHeadNormEps = 1e-5;

AttentionConfig attention_config(const TransformerConfig& config) {
  return {.heads = config.n_heads,
          .head_width = config.head_width(),
          .qk_norm = config.qk_norm,
          .norm_eps = kHeadNormEps,
          .bias = false};
}

}  // namespace

Block::Block(const io::WeightScope& scope, const TransformerConfig& config, bool modulated)
    : attention_norm1_(scope / "attention_norm1", config.dim, config.norm_eps),
      attention_(scope / "attention", attention_config(config)),
      attention_norm2_(scope / "attention_norm2", config.dim, config.norm_eps),
      ffn_norm1_(scope / "ffn_norm1", config.dim, config.norm_eps),
      feed_forward_([&] {
        const io::WeightScope own = scope / "feed_forward";
        const int64_t inner = static_cast<int64_t>(static_cast<double>(config.dim) / 3 * 8);
        return FeedForward{nn::Linear(own / "w1", config.dim, inner, /*bias=*/false),
                           nn::Linear(own / "w2", inner, config.dim, /*bias=*/false),
                           nn::Linear(own / "w3", config.dim, inner, /*bias=*/false)};
      }()),
      ffn_norm2_(scope / "ffn_norm2", config.dim, config.norm_eps) {
  if (modulated)
    adaLN_modulation_.emplace(scope / "adaLN_modulation.0", config.time_width(), 4 * config.dim);
}

Tensor Block::FeedForward::operator()(const Tensor& tokens) const {
  return w2(w3.multiplied(tokens, w1.activated(tokens, nn::Activation::Silu)));
}

Tensor Block::operator()(const Tensor& tokens, const Tensor& rotations, const Tensor& time) const {
  if (!adaLN_modulation_) {
    const Tensor x = tokens + attention_norm2_(attention_(attention_norm1_(tokens), rotations));
    return x + ffn_norm2_(feed_forward_(ffn_norm1_(x)));
  }
  // Scale and gate of the attention, then of the feed-forward: [B, 4 * dim] -> 4 of [B, 1, dim]
  const std::vector<Tensor> parts = (*adaLN_modulation_)(time).unsqueeze(1).chunk(4, 2);
  const Tensor attended = attention_(attention_norm1_(tokens).mul_(parts[0] + 1), rotations);
  const Tensor x = at::addcmul(tokens, at::tanh(parts[1]), attention_norm2_(attended));
  const Tensor fed = feed_forward_(ffn_norm1_(x).mul_(parts[2] + 1));
  return at::addcmul(x, at::tanh(parts[3]), ffn_norm2_(fed));
}

}  // namespace sdrbee::z_image
