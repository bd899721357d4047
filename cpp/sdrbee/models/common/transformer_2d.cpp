#include "sdrbee/models/common/transformer_2d.h"

#include <ATen/ops/zeros_like.h>

#include <vector>

#include "sdrbee/models/common/mask_tokens.h"
#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee {
namespace {

constexpr double kGroupNormEps = 1e-6;
constexpr double kLayerNormEps = 1e-5;
constexpr int64_t kFeedForwardFactor = 4;

}  // namespace

CrossAttention::CrossAttention(const io::WeightScope& scope, int64_t channels, int64_t context,
                               int64_t heads)
    : path_(scope.path()),
      to_q_(scope / "to_q", channels, channels, /*bias=*/false),
      to_k_(scope / "to_k", context, channels, /*bias=*/false),
      to_v_(scope / "to_v", context, channels, /*bias=*/false),
      to_out_(scope / "to_out.0", channels, channels),
      heads_(heads) {}

Tensor CrossAttention::add(const Tensor& x, const Tensor& context, const Tensor& residual,
                           std::span<const ExtraContext> extra) const {
  // `upcast_attention` changes nothing here, as in diffusers with its default processor: the
  // kernels sum scores in fp32 anyway.
  const Tensor q = to_q_(x);
  Tensor seen = nn::attention(q, to_k_(context), to_v_(context), heads_);
  for (const ExtraContext& one : extra) {
    const auto own = one.layers.find(path_);
    if (own == one.layers.end()) continue;
    const Tensor& factors = own->second.factors;
    const Tensor strengths = factors.defined() ? one.strengths.mul(factors) : one.strengths;
    seen = seen.add(look(q, own->second, one.masks).mul(strengths.to(q.options())));
  }
  return to_out_.add(seen, residual);
}

Tensor CrossAttention::look(const Tensor& q, const ExtraContext::KeysValues& shown,
                            const Tensor& masks) const {
  const Tensor keys = shown.keys.to(q.options());
  const Tensor values = shown.values.to(q.options());
  if (!masks.defined()) return nn::attention(q, keys, values, heads_);
  // [B, pictures*tokens, channels] -> pictures of [B, tokens, channels]
  const std::vector<Tensor> own_keys = keys.chunk(masks.size(1), /*dim=*/1);
  const std::vector<Tensor> own_values = values.chunk(masks.size(1), /*dim=*/1);
  Tensor sum = at::zeros_like(q);
  for (size_t i = 0; i < own_keys.size(); ++i) {
    const Tensor seen =
        nn::attention(q, own_keys[i].contiguous(), own_values[i].contiguous(), heads_);
    const Tensor mask = mask_tokens(masks.select(1, static_cast<int64_t>(i)), q.size(1));
    sum.addcmul_(seen, mask.to(q.options()));
  }
  return sum;
}

BasicTransformerBlock::BasicTransformerBlock(const io::WeightScope& scope,
                                             const Transformer2DShape& shape)
    : norm1_(scope / "norm1", shape.channels, kLayerNormEps),
      attn1_(scope / "attn1", shape.channels,
             shape.only_cross_attention ? shape.context : shape.channels, shape.heads),
      norm2_(scope / "norm2", shape.channels, kLayerNormEps),
      attn2_(scope / "attn2", shape.channels, shape.context, shape.heads),
      norm3_(scope / "norm3", shape.channels, kLayerNormEps),
      ff_in_(scope / "ff.net.0", shape.channels, kFeedForwardFactor * shape.channels),
      ff_out_(scope / "ff.net.2", kFeedForwardFactor * shape.channels, shape.channels),
      only_cross_attention_(shape.only_cross_attention) {}

Tensor BasicTransformerBlock::operator()(const Tensor& tokens, const Tensor& context,
                                         std::span<const ExtraContext> extra) const {
  const Tensor normed = norm1_(tokens);
  Tensor x = attn1_.add(normed, only_cross_attention_ ? context : normed, tokens);
  x = attn2_.add(norm2_(x), context, x, extra);
  return ff_out_.add(ff_in_(norm3_(x)), x);
}

Transformer2D::Transformer2D(const io::WeightScope& scope, const Transformer2DShape& shape)
    : norm_(scope / "norm", shape.groups, shape.channels, kGroupNormEps),
      proj_in_(scope / "proj_in", shape.channels, shape.channels),
      proj_out_(scope / "proj_out", shape.channels, shape.channels) {
  for (int64_t i = 0; i < shape.layers; ++i)
    transformer_blocks_.emplace_back(scope / "transformer_blocks" / i, shape);
}

Tensor Transformer2D::operator()(const Tensor& x, const Tensor& context,
                                 std::span<const ExtraContext> extra) const {
  Tensor tokens = proj_in_(nn::picture_to_tokens(norm_(x)));
  for (const BasicTransformerBlock& block : transformer_blocks_)
    tokens = block(tokens, context, extra);
  return nn::tokens_to_picture(proj_out_.add(tokens, nn::picture_to_tokens(x)), x.size(2),
                               x.size(3));
}

}  // namespace sdrbee
