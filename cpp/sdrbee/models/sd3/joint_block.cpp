#include "sdrbee/models/sd3/joint_block.h"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>

#include <vector>

#include "sdrbee/nn/attention.h"

namespace sdrbee::sd3 {
namespace {

constexpr double kNormEps = 1e-6;

constexpr Projections::Names kPictureNames = {"to_q", "to_k", "to_v", "norm_q", "norm_k"};
constexpr Projections::Names kTextNames = {"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q",
                                           "norm_added_k"};

// Vectors of a modulation: shift, scale and gate of the attention, then of the feed-forward, then
// of the second attention. The last block's text has scale and shift only.
constexpr int64_t kParts = 6;
constexpr int64_t kDualParts = 9;
constexpr int64_t kLastTextParts = 2;

/// x + gate * branch.
Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& branch) {
  return at::addcmul(x, gate, branch);
}

}  // namespace

Projections::Projections(const io::WeightScope& scope, const BlockShape& shape, const Names& names)
    : q_(scope / names.q, shape.width(), shape.width()),
      k_(scope / names.k, shape.width(), shape.width()),
      v_(scope / names.v, shape.width(), shape.width()),
      shape_(shape) {
  if (!shape.qk_norm) return;
  norm_q_.emplace(scope / names.norm_q, shape.head_width, kNormEps);
  norm_k_.emplace(scope / names.norm_k, shape.head_width, kNormEps);
}

Projected Projections::operator()(const Tensor& tokens) const {
  const auto normed = [&](const Tensor& projected, const std::optional<nn::RmsNorm>& norm) {
    // [B, N, width] -> [B, N, heads, head_width] -> [B, N, width]
    return norm ? (*norm)(projected.unflatten(2, {shape_.heads, shape_.head_width})).flatten(2)
                : projected;
  };
  return {.q = normed(q_(tokens), norm_q_), .k = normed(k_(tokens), norm_k_), .v = v_(tokens)};
}

JointBlock::JointBlock(const io::WeightScope& scope, const BlockShape& shape, const BlockKind& kind)
    : norm1_(scope / "norm1", shape.width(), kind.dual_attention ? kDualParts : kParts),
      norm1_context_(scope / "norm1_context", shape.width(), kind.last ? kLastTextParts : kParts),
      picture_(scope / "attn", shape, kPictureNames),
      text_(scope / "attn", shape, kTextNames),
      picture_ending_{.out = nn::Linear(scope / "attn.to_out.0", shape.width(), shape.width()),
                      .ff = FeedForward(scope / "ff", shape.width())},
      heads_(shape.heads) {
  if (!kind.last)
    text_ending_ =
        Ending{.out = nn::Linear(scope / "attn.to_add_out", shape.width(), shape.width()),
               .ff = FeedForward(scope / "ff_context", shape.width())};
  if (kind.dual_attention)
    attn2_ =
        SelfAttention{.projections = Projections(scope / "attn2", shape, kPictureNames),
                      .out = nn::Linear(scope / "attn2.to_out.0", shape.width(), shape.width())};
}

JointTokens JointBlock::operator()(const JointTokens& tokens, const Tensor& activated) const {
  const std::vector<Tensor> parts = norm1_(activated);
  const std::vector<Tensor> text_parts = norm1_context_(activated);
  const auto normed = [](const Tensor& x, const Tensor& scale, const Tensor& shift) {
    return nn::modulated_norm(x, {.scale = scale, .shift = shift});
  };
  const Projected picture = picture_(normed(tokens.picture, parts[1], parts[0]));
  const Projected text = text_(text_ending_ ? normed(tokens.text, text_parts[1], text_parts[0])
                                            : normed(tokens.text, text_parts[0], text_parts[1]));
  const Tensor attended =
      nn::attention(at::cat({picture.q, text.q}, 1), at::cat({picture.k, text.k}, 1),
                    at::cat({picture.v, text.v}, 1), heads_);
  const int64_t picture_count = tokens.picture.size(1);
  const auto finish = [&](const Ending& ending, const Tensor& own, const std::vector<Tensor>& of) {
    return add_gated(own, of[5], ending.ff(normed(own, of[4], of[3])));
  };
  Tensor y = add_gated(tokens.picture, parts[2],
                       picture_ending_.out(attended.narrow(1, 0, picture_count).contiguous()));
  if (attn2_) y = attend_again(y, normed(tokens.picture, parts[7], parts[6]), parts[8]);
  y = finish(picture_ending_, y, parts);
  if (!text_ending_) return {.text = tokens.text, .picture = y};
  const Tensor z = add_gated(
      tokens.text, text_parts[2],
      text_ending_->out(attended.narrow(1, picture_count, tokens.text.size(1)).contiguous()));
  return {.text = finish(*text_ending_, z, text_parts), .picture = y};
}

Tensor JointBlock::attend_again(const Tensor& picture, const Tensor& normed,
                                const Tensor& gate) const {
  const Projected own = attn2_->projections(normed);
  return add_gated(picture, gate, attn2_->out(nn::attention(own.q, own.k, own.v, heads_)));
}

}  // namespace sdrbee::sd3
