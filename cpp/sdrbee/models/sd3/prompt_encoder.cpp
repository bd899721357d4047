#include "sdrbee/models/sd3/prompt_encoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_fit.h"

namespace sdrbee::sd3 {
namespace {

constexpr const char* kClipClass = "CLIPTextModelWithProjection";
constexpr ClipTextNames kClipNames[] = {{"tokenizer", "text_encoder", kClipClass},
                                        {"tokenizer_2", "text_encoder_2", kClipClass,
                                         /*needs_projection=*/true}};
constexpr T5TextNames kT5Names{"tokenizer_3", "text_encoder_3"};

/// Channels of the pooled text, which is not projected where the files lack the projection.
int64_t pooled_width(const io::Component& encoder) {
  const auto config = text::ClipTextConfig::from(encoder.config);
  const bool projected = encoder.weights && encoder.weights->find("text_projection.weight");
  return projected ? config.projection_dim : config.hidden_size;
}

/// Before any weights are read: the widths of the encoders are those that the network takes.
void check_fit(const io::Checkpoint& checkpoint, const TransformerConfig& network) {
  const io::Component& transformer = checkpoint.component("transformer");
  check_encoder_order(checkpoint.component(kClipNames[0].encoder),
                      checkpoint.component(kClipNames[1].encoder));
  int64_t width = 0;
  int64_t pooled = 0;
  std::vector<std::pair<const io::Component*, int64_t>> widths;
  std::vector<std::pair<const io::Component*, int64_t>> pooled_widths;
  for (const ClipTextNames& names : kClipNames) {
    const io::Component& encoder = checkpoint.component(names.encoder);
    widths.emplace_back(&encoder, text::ClipTextConfig::from(encoder.config).hidden_size);
    pooled_widths.emplace_back(&encoder, pooled_width(encoder));
    width += widths.back().second;
    pooled += pooled_widths.back().second;
  }
  require_equal(transformer, "pooled_projection_dim", network.pooled_projection_dim, pooled,
                summed_fields("projection_dim", pooled_widths));
  require_at_least(transformer, "joint_attention_dim", network.joint_attention_dim, width,
                   summed_fields("hidden_size", widths));
  const io::Component* t5 = checkpoint.find(kT5Names.encoder);
  if (t5 == nullptr) return;
  require_equal(transformer, "joint_attention_dim", network.joint_attention_dim,
                text::T5EncoderConfig::from(t5->config).d_model,
                message("the 'd_model' of ", t5->config.origin()));
}

std::array<ClipText, 2> load_clip(const io::Checkpoint& checkpoint, const LoadOptions& options,
                                  const TransformerConfig& network) {
  check_fit(checkpoint, network);
  return {ClipText(checkpoint, kClipNames[0], options),
          ClipText(checkpoint, kClipNames[1], options)};
}

}  // namespace

Sd3PromptEncoder::Sd3PromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options,
                                   const TransformerConfig& network)
    : clip_(load_clip(checkpoint, options, network)),
      width_(network.joint_attention_dim),
      options_(at::TensorOptions().dtype(options.dtype).device(options.device)) {
  if (checkpoint.find(kT5Names.encoder) != nullptr) t5_.emplace(checkpoint, kT5Names, options);
}

void Sd3PromptEncoder::check(std::span<const Prompt> prompts) const {
  std::vector<std::string> unused;
  for (const Prompt& prompt : prompts) {
    tokenize(prompt, unused);
    if (!t5_) continue;
    t5_->tokenize(without_marks(prompt, unused).text_for(3), prompt.text_tokens, unused);
  }
}

Sd3PromptEncoder::Rows Sd3PromptEncoder::tokenize(const Prompt& prompt,
                                                  std::vector<std::string>& warnings) const {
  refuse_compel(prompt);
  return {clip_[0].tokenize(prompt.text_for(1), warnings),
          clip_[1].tokenize(prompt.text_for(2), warnings)};
}

EncodedPrompts Sd3PromptEncoder::encode(std::span<const Prompt> prompts) const {
  EncodedPrompts encoded;
  std::vector<Rows> all;
  size_t longest = 1;
  for (const Prompt& prompt : prompts) {
    all.push_back(tokenize(prompt, encoded.warnings));
    for (const text::TokenRows& rows : all.back()) longest = std::max(longest, rows.rows.size());
  }
  // One encoder after the other, so that only one needs to be in memory.
  std::vector<Features> features(prompts.size());
  for (size_t c = 0; c < kClipCount; ++c)
    for (size_t i = 0; i < prompts.size(); ++i) {
      clip_[c].pad(all[i][c], longest);
      features[i][c] = clip_[c].encode(all[i][c], prompts[i].clip_skip);
    }
  for (size_t i = 0; i < prompts.size(); ++i) {
    Conditioning conditioning = join(features[i], all[i]);
    conditioning.context =
        at::cat({conditioning.context, encode_t5(prompts[i], encoded.warnings)}, 1);
    encoded.conditionings.push_back(std::move(conditioning));
  }
  return encoded;
}

Conditioning Sd3PromptEncoder::join(const Features& features, const Rows& rows) const {
  std::vector<Tensor> states;
  std::vector<Tensor> weighted;
  std::vector<Tensor> pooled;
  for (size_t c = 0; c < kClipCount; ++c) {
    states.push_back(features[c].states);
    weighted.push_back(text::weighted_states(features[c].states, rows[c]));
    // Files may lack CLIP-L's projection, which is the identity in the published folders.
    const Tensor& embeds = features[c].embeds;
    pooled.push_back((embeds.defined() ? embeds : features[c].pooled).narrow(0, 0, 1));
  }
  // The mean is that of both encoders, as in A1111's web UI. [rows, 77, D] -> [1, rows * 77, D]
  const bool none_weighted = weighted[0].is_same(states[0]) && weighted[1].is_same(states[1]);
  const Tensor plain = at::cat(states, -1);
  const Tensor both = none_weighted ? plain : text::with_mean_of(plain, at::cat(weighted, -1));
  const Tensor joined = both.reshape({1, -1, both.size(-1)});
  return {.context = at::constant_pad_nd(joined, {0, width_ - joined.size(-1)}),
          .pooled = at::cat(pooled, -1)};
}

Tensor Sd3PromptEncoder::encode_t5(const Prompt& prompt, std::vector<std::string>& warnings) const {
  if (!t5_) return at::zeros({1, prompt.text_tokens, width_}, options_);
  // T5 doesn't weigh words, as in A1111's web UI; the other two encoders do.
  std::vector<std::string> unused;
  return t5_->encode(without_marks(prompt, unused).text_for(3), prompt.text_tokens, warnings);
}

}  // namespace sdrbee::sd3
