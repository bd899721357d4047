#include "sdrbee/models/stable_diffusion/prompt_encoder.h"

#include <algorithm>

namespace sdrbee::stable_diffusion {

ClipPromptEncoder::ClipPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options)
    : clip_(checkpoint, {.states = ClipStates::Last}, options) {}

void ClipPromptEncoder::check(std::span<const Prompt> prompts) const {
  std::vector<std::string> unused;
  for (const Prompt& prompt : prompts) clip_.tokenize(prompt.text_for(1), unused);
}

EncodedPrompts ClipPromptEncoder::encode(std::span<const Prompt> prompts) const {
  std::vector<text::TokenRows> tokens;
  size_t longest = 1;
  EncodedPrompts encoded;
  for (const Prompt& prompt : prompts) {
    tokens.push_back(clip_.tokenize(prompt.text_for(1), encoded.warnings));
    longest = std::max(longest, tokens.back().rows.size());
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    clip_.pad(tokens[i], longest);
    const Tensor plain = clip_.encode(tokens[i], prompts[i].clip_skip).states;
    const Tensor states = text::with_mean_of(plain, text::weighted_states(plain, tokens[i]));
    // [rows, 77, D] -> [1, rows * 77, D]
    encoded.conditionings.push_back({.context = states.reshape({1, -1, states.size(-1)})});
  }
  return encoded;
}

}  // namespace sdrbee::stable_diffusion
