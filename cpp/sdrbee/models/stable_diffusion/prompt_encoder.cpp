#include "sdrbee/models/stable_diffusion/prompt_encoder.h"

#include <algorithm>
#include <utility>

namespace sdrbee::stable_diffusion {

ClipPromptEncoder::ClipPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options)
    : clip_(checkpoint, {.states = ClipStates::Last}, options) {}

void ClipPromptEncoder::check(std::span<const Prompt> prompts) const {
  std::vector<std::string> unused;
  for (const Prompt& prompt : prompts) clip_.read(prompt.text_for(1), unused);
}

EncodedPrompts ClipPromptEncoder::encode(std::span<const Prompt> prompts) const {
  std::vector<ClipRows> rows;
  size_t longest = 1;
  EncodedPrompts encoded;
  for (const Prompt& prompt : prompts) {
    rows.push_back(clip_.read(prompt.text_for(1), encoded.warnings));
    longest = std::max(longest, row_count(rows.back()));
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Tensor states = clip_.weighed(std::move(rows[i]), longest, prompts[i].clip_skip).states;
    // [rows, 77, D] -> [1, rows * 77, D]
    encoded.conditionings.push_back({.context = states.reshape({1, -1, states.size(-1)})});
  }
  return encoded;
}

}  // namespace sdrbee::stable_diffusion
