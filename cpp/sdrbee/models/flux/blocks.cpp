#include "sdrbee/models/flux/blocks.h"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>

#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/rope.h"

namespace sdrbee::flux {
namespace {

constexpr double kNormEps = 1e-6;
constexpr int64_t kMlpFactor = 4;
constexpr double kHalfMax = 65504;

constexpr Projections::Names kPictureNames = {"to_q", "to_k", "to_v", "norm_q", "norm_k"};
constexpr Projections::Names kTextNames = {"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q",
                                           "norm_added_k"};

/// x + gate * branch. Sums of many blocks leave the range of fp16 in published weights.
Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& branch) {
  Tensor sum = at::addcmul(x, gate, branch);
  return sum.scalar_type() == at::kHalf ? sum.clamp_(-kHalfMax, kHalfMax) : sum;
}

}  // namespace

Projections::Projections(const io::WeightScope& scope, const BlockShape& shape, const Names& names)
    : q_(scope / names.q, shape.width(), shape.width()),
      k_(scope / names.k, shape.width(), shape.width()),
      v_(scope / names.v, shape.width(), shape.width()),
      norm_q_(scope / names.norm_q, shape.head_width, kNormEps),
      norm_k_(scope / names.norm_k, shape.head_width, kNormEps),
      shape_(shape) {}

Projected Projections::operator()(const Tensor& tokens, const Tensor& rotations) const {
  const auto turned = [&](const Tensor& projected, const nn::RmsNorm& norm) {
    // [B, N, width] -> [B, N, heads, head_width] -> [B, N, width]
    return nn::rotate(norm(projected.unflatten(2, {shape_.heads, shape_.head_width})), rotations)
        .flatten(2);
  };
  return {.q = turned(q_(tokens), norm_q_), .k = turned(k_(tokens), norm_k_), .v = v_(tokens)};
}

DoubleBlock::DoubleBlock(const io::WeightScope& scope, const BlockShape& shape)
    : picture_{.norm1 = nn::Modulation(scope / "norm1", shape.width(), 6),
               .projections = Projections(scope / "attn", shape, kPictureNames),
               .out = nn::Linear(scope / "attn.to_out.0", shape.width(), shape.width()),
               .ff = FeedForward(scope / "ff", shape.width())},
      text_{.norm1 = nn::Modulation(scope / "norm1_context", shape.width(), 6),
            .projections = Projections(scope / "attn", shape, kTextNames),
            .out = nn::Linear(scope / "attn.to_add_out", shape.width(), shape.width()),
            .ff = FeedForward(scope / "ff_context", shape.width())},
      heads_(shape.heads) {}

JointTokens DoubleBlock::operator()(const JointTokens& tokens, const BlockInputs& inputs) const {
  const int64_t text_count = tokens.text.size(1);
  const int64_t picture_count = tokens.picture.size(1);
  // Each: shift, scale and gate of the attention, then of the feed-forward.
  const std::vector<Tensor> picture_parts = picture_.norm1(inputs.activated);
  const std::vector<Tensor> text_parts = text_.norm1(inputs.activated);
  const auto project = [&](const Stream& stream, const Tensor& own,
                           const std::vector<Tensor>& parts, int64_t first) {
    return stream.projections(nn::modulated_norm(own, {.scale = parts[1], .shift = parts[0]}),
                              inputs.rotations.narrow(0, first, own.size(1)));
  };
  const Projected text = project(text_, tokens.text, text_parts, 0);
  const Projected picture = project(picture_, tokens.picture, picture_parts, text_count);
  const Tensor attended =
      nn::attention(at::cat({text.q, picture.q}, 1), at::cat({text.k, picture.k}, 1),
                    at::cat({text.v, picture.v}, 1), heads_);
  return {.text = text_.finish(tokens.text, attended.narrow(1, 0, text_count), text_parts),
          .picture = picture_.finish(tokens.picture, attended.narrow(1, text_count, picture_count),
                                     picture_parts)};
}

Tensor DoubleBlock::Stream::finish(const Tensor& tokens, const Tensor& attended,
                                   const std::vector<Tensor>& parts) const {
  const Tensor x = add_gated(tokens, parts[2], out(attended.contiguous()));
  const Tensor normed = nn::modulated_norm(x, {.scale = parts[4], .shift = parts[3]});
  return add_gated(x, parts[5], ff(normed));
}

SingleBlock::SingleBlock(const io::WeightScope& scope, const BlockShape& shape)
    : norm_(scope / "norm", shape.width(), 3),
      projections_(scope / "attn", shape, kPictureNames),
      proj_mlp_(scope / "proj_mlp", shape.width(), kMlpFactor * shape.width()),
      proj_out_(scope / "proj_out", (1 + kMlpFactor) * shape.width(), shape.width()),
      heads_(shape.heads) {}

Tensor SingleBlock::operator()(const Tensor& tokens, const BlockInputs& inputs) const {
  const std::vector<Tensor> parts = norm_(inputs.activated);  // shift, scale, gate
  const Tensor normed = nn::modulated_norm(tokens, {.scale = parts[1], .shift = parts[0]});
  const Projected own = projections_(normed, inputs.rotations);
  const Tensor attended = nn::attention(own.q, own.k, own.v, heads_);
  const Tensor inner = proj_mlp_.activated(normed, nn::Activation::GeluTanh);
  return add_gated(tokens, parts[2], proj_out_(at::cat({attended, inner}, 2)));
}

}  // namespace sdrbee::flux
