#include "sdrbee/models/z_image/prompt_encoder.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/full.h>

#include <algorithm>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/z_image/transformer.h"

namespace sdrbee::z_image {
namespace {

const QwenTextOptions kAsked = {.states = {-2}, .thinks = true, .padded = false};

}  // namespace

ZImagePromptEncoder::ZImagePromptEncoder(const io::Checkpoint& checkpoint,
                                         const LoadOptions& options)
    : text_(checkpoint, options, kAsked) {
  const io::Component& network = checkpoint.component("transformer");
  const auto config = TransformerConfig::from(network.config);
  require_equal(
      network, "cap_feat_dim", config.cap_feat_dim, text_.width(),
      message("the 'hidden_size' of ", checkpoint.component("text_encoder").config.origin()));
}

void ZImagePromptEncoder::check(std::span<const Prompt> prompts) const {
  std::vector<std::string> unused;
  for (const Prompt& prompt : prompts)
    text_.tokenize(without_marks(prompt, unused).text_for(1), prompt.text_tokens, unused);
}

EncodedPrompts ZImagePromptEncoder::encode(std::span<const Prompt> prompts) const {
  EncodedPrompts encoded;
  int64_t longest = 0;
  for (const Prompt& marked : prompts) {
    const Prompt prompt = without_marks(marked, encoded.warnings);
    const Tensor states =
        text_.encode(prompt.text_for(1), prompt.text_tokens, encoded.warnings).front();
    longest = std::max(longest, states.size(1));
    encoded.conditionings.push_back(
        {.context = states, .context_counts = at::full({1}, states.size(1), at::kLong)});
  }
  for (Conditioning& one : encoded.conditionings)
    one.context = at::constant_pad_nd(one.context, {0, 0, 0, longest - one.context.size(1)});
  return encoded;
}

}  // namespace sdrbee::z_image
