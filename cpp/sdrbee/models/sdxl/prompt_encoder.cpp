#include "sdrbee/models/sdxl/prompt_encoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/unet_2d_condition_config.h"

namespace sdrbee::sdxl {
namespace {

// https://github.com/huggingface/diffusers/blob/main/src/diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py
constexpr double kAestheticScore = 6.0;
constexpr double kNegativeAestheticScore = 2.5;

constexpr ClipTextNames kFirst{.words_key = "clip_l"};
constexpr ClipTextNames kSecond{.tokenizer = "tokenizer_2",
                                .encoder = "text_encoder_2",
                                .encoder_class = "CLIPTextModelWithProjection",
                                .needs_projection = true,
                                .words_key = "clip_g"};

std::vector<ClipText> load_encoders(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  std::vector<ClipText> encoders;
  if (checkpoint.find("text_encoder") != nullptr)
    encoders.emplace_back(checkpoint, kFirst, options);
  encoders.emplace_back(checkpoint, kSecond, options);
  return encoders;
}

Conditioning join(const std::vector<ClipFeatures>& features) {
  std::vector<Tensor> states;
  Conditioning conditioning;
  for (const ClipFeatures& one : features) {
    const Tensor& own = one.states;
    states.push_back(own.reshape({1, -1, own.size(-1)}));  // [rows, 77, D] -> [1, rows * 77, D]
    if (one.embeds.defined()) conditioning.pooled = one.embeds.narrow(0, 0, 1);
  }
  conditioning.context = at::cat(states, -1);
  return conditioning;
}

}  // namespace

XlPromptEncoder::XlPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options)
    : encoders_(load_encoders(checkpoint, options)),
      zeros_for_no_prompt_(checkpoint.index().bool_or("force_zeros_for_empty_prompt", true)),
      aesthetic_score_(checkpoint.index().bool_or("requires_aesthetics_score", false)),
      options_(at::TensorOptions().dtype(options.dtype).device(options.device)) {
  check_addition(checkpoint);
}

void XlPromptEncoder::check_addition(const io::Checkpoint& checkpoint) const {
  const auto unet = Unet2DConditionConfig::from(checkpoint.component("unet").config);
  const std::string where = message("[", checkpoint.path().string(), "] ");
  if (!unet.addition)
    throw CheckpointError(where + "the UNet has no add_embedding, which XL needs");
  const int64_t ids = aesthetic_score_ ? 5 : 6;
  const int64_t pooled = encoders_.back().config().projection_dim;
  const int64_t expected = unet.addition->time_width * ids + pooled;
  if (unet.addition->input_width != expected)
    throw CheckpointError(message(
        where, "projection_class_embeddings_input_dim: expected ", expected, " (", ids,
        " time ids and the pooled text of ", pooled, " channels) but got ",
        unet.addition->input_width,
        "; requires_aesthetics_score in model_index.json says whether there are 5 or 6 ids"));
}

void XlPromptEncoder::check(std::span<const Prompt> prompts) const {
  std::vector<std::string> unused;
  for (const Prompt& prompt : prompts) tokenize(prompt, unused);
}

EncodedPrompts XlPromptEncoder::encode(std::span<const Prompt> prompts) const {
  EncodedPrompts encoded;
  std::vector<Rows> all;
  size_t longest = 1;
  for (const Prompt& prompt : prompts) {
    all.push_back(tokenize(prompt, encoded.warnings));
    for (const ClipRows& rows : all.back()) longest = std::max(longest, row_count(rows));
  }
  // One encoder after the other, so that only one needs to be in memory.
  std::vector<std::vector<ClipFeatures>> features(prompts.size());
  for (size_t e = 0; e < encoders_.size(); ++e)
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (is_none(prompts[i])) continue;
      features[i].push_back(
          encoders_[e].weighed(std::move(all[i][e]), longest, prompts[i].clip_skip));
    }
  for (size_t i = 0; i < prompts.size(); ++i) {
    encoded.conditionings.push_back(is_none(prompts[i]) ? zeros(longest) : join(features[i]));
    encoded.conditionings.back().time_ids = time_ids(prompts[i]);
  }
  return encoded;
}

bool XlPromptEncoder::is_none(const Prompt& prompt) const {
  return zeros_for_no_prompt_ && !prompt.text && !prompt.text_2;
}

XlPromptEncoder::Rows XlPromptEncoder::tokenize(const Prompt& prompt,
                                                std::vector<std::string>& warnings) const {
  Rows rows;
  for (size_t e = 0; e < encoders_.size(); ++e)
    rows.push_back(encoders_[e].read(prompt.text_for(e == 0 ? 1 : 2), warnings));
  return rows;
}

Conditioning XlPromptEncoder::zeros(size_t row_count) const {
  int64_t width = 0;
  for (const ClipText& one : encoders_) width += one.config().hidden_size;
  const ClipText& last = encoders_.back();
  const int64_t tokens = static_cast<int64_t>(row_count) * last.window();
  return {.context = at::zeros({1, tokens, width}, options_),
          .pooled = at::zeros({1, last.config().projection_dim}, options_)};
}

Tensor XlPromptEncoder::time_ids(const Prompt& prompt) const {
  const Framing& framing = prompt.framing;
  std::vector<double> ids = {static_cast<double>(framing.original_size.height),
                             static_cast<double>(framing.original_size.width),
                             static_cast<double>(framing.crop_top),
                             static_cast<double>(framing.crop_left)};
  if (aesthetic_score_) {
    ids.push_back(prompt.negative ? kNegativeAestheticScore : kAestheticScore);
  } else {
    ids.push_back(static_cast<double>(framing.target_size.height));
    ids.push_back(static_cast<double>(framing.target_size.width));
  }
  return at::tensor(ids, at::kFloat).unsqueeze(0).to(options_.device());
}

}  // namespace sdrbee::sdxl
