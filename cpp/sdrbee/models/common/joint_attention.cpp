#include "sdrbee/models/common/joint_attention.h"

#include <ATen/ops/cat.h>

#include "sdrbee/nn/attention.h"

namespace sdrbee {
namespace {

constexpr QkvNames kTextNames = {"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q",
                                 "norm_added_k"};

Tensor attend(const Qkv& first, const Qkv& second, int64_t heads) {
  return nn::attention(at::cat({first.q, second.q}, 1), at::cat({first.k, second.k}, 1),
                       at::cat({first.v, second.v}, 1), heads);
}

}  // namespace

JointAttention::JointAttention(const io::WeightScope& scope, const AttentionConfig& config,
                               const JointAttentionOptions& options)
    : picture_(scope, config),
      text_(scope, config, kTextNames),
      out_(scope / "to_out.0", config.width(), config.width(), config.bias),
      heads_(config.heads),
      picture_first_(options.picture_first) {
  if (options.text_out)
    text_out_.emplace(scope / "to_add_out", config.width(), config.width(), config.bias);
}

JointTokens JointAttention::operator()(const JointTokens& tokens, const Tensor& rotations) const {
  const int64_t text_count = tokens.text.size(1);
  const int64_t picture_count = tokens.picture.size(1);
  const auto part = [&](int64_t first, int64_t count) {
    return rotations.defined() ? rotations.narrow(0, first, count) : Tensor();
  };
  const Qkv text = text_(tokens.text, part(0, text_count));
  const Qkv picture = picture_(tokens.picture, part(text_count, picture_count));
  const Tensor attended =
      picture_first_ ? attend(picture, text, heads_) : attend(text, picture, heads_);
  const auto rows = [&](int64_t first, int64_t count) {
    return attended.narrow(1, first, count).contiguous();
  };
  const int64_t text_start = picture_first_ ? picture_count : 0;
  const int64_t picture_start = picture_first_ ? 0 : text_count;
  return {.text = text_out_ ? (*text_out_)(rows(text_start, text_count)) : Tensor(),
          .picture = out_(rows(picture_start, picture_count))};
}

}  // namespace sdrbee
