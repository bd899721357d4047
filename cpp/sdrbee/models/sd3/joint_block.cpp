#include "sdrbee/models/sd3/joint_block.h"

#include <ATen/ops/addcmul.h>

#include <vector>

namespace sdrbee::sd3 {
namespace {

// Vectors of a modulation: shift, scale and gate of the attention, then of the feed-forward, then
// of the second attention. The last block's text has scale and shift only.
constexpr int64_t kParts = 6;
constexpr int64_t kDualParts = 9;
constexpr int64_t kLastTextParts = 2;

/// x + gate * branch.
Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& branch) {
  return at::addcmul(x, gate, branch);
}

nn::ScaleAndShift scale_and_shift(const std::vector<Tensor>& parts, size_t first) {
  return {.scale = parts[first + 1], .shift = parts[first]};
}

/// One of the two sequences after its feed-forward layer.
Tensor finish(const Tensor& x, const std::vector<Tensor>& parts, const FeedForward& ff) {
  return add_gated(x, parts[5], ff(nn::modulated_norm(x, scale_and_shift(parts, 3))));
}

}  // namespace

JointBlock::JointBlock(const io::WeightScope& scope, const AttentionConfig& attention,
                       const BlockKind& kind)
    : norm1_(scope / "norm1", attention.width(), kind.dual_attention ? kDualParts : kParts),
      norm1_context_(scope / "norm1_context", attention.width(),
                     kind.last ? kLastTextParts : kParts),
      attn_(scope / "attn", attention, {.text_out = !kind.last, .picture_first = true}),
      ff_(scope / "ff", attention.width()) {
  if (kind.dual_attention) attn2_.emplace(scope / "attn2", attention);
  if (!kind.last) ff_context_.emplace(scope / "ff_context", attention.width());
}

JointTokens JointBlock::operator()(const JointTokens& tokens, const Tensor& activated) const {
  const std::vector<Tensor> parts = norm1_(activated);
  const std::vector<Tensor> text_parts = norm1_context_(activated);
  const nn::ScaleAndShift of_text =
      ff_context_ ? scale_and_shift(text_parts, 0)
                  : nn::ScaleAndShift{.scale = text_parts[0], .shift = text_parts[1]};
  const JointTokens attended =
      attn_({.text = nn::modulated_norm(tokens.text, of_text),
             .picture = nn::modulated_norm(tokens.picture, scale_and_shift(parts, 0))});
  Tensor picture = add_gated(tokens.picture, parts[2], attended.picture);
  if (attn2_)
    picture = add_gated(picture, parts[8],
                        (*attn2_)(nn::modulated_norm(tokens.picture, scale_and_shift(parts, 6))));
  picture = finish(picture, parts, ff_);
  if (!ff_context_) return {.text = tokens.text, .picture = picture};
  const Tensor text = add_gated(tokens.text, text_parts[2], attended.text);
  return {.text = finish(text, text_parts, *ff_context_), .picture = picture};
}

PictureBlock::PictureBlock(const io::WeightScope& scope, const AttentionConfig& attention)
    : norm1_(scope / "norm1", attention.width(), kParts),
      attn_(scope / "attn", attention),
      ff_(scope / "ff", attention.width()) {}

Tensor PictureBlock::operator()(const Tensor& picture, const Tensor& activated) const {
  const std::vector<Tensor> parts = norm1_(activated);
  const Tensor attended = attn_(nn::modulated_norm(picture, scale_and_shift(parts, 0)));
  return finish(add_gated(picture, parts[2], attended), parts, ff_);
}

}  // namespace sdrbee::sd3
