#include "sdrbee/models/flux2/prompt_encoder.h"

#include <ATen/ops/cat.h>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/flux2/transformer_config.h"

namespace sdrbee::flux2 {
namespace {

// https://github.com/black-forest-labs/flux2/blob/main/src/flux2/text_encoder.py
const QwenTextOptions kAsked = {.states = {9, 18, 27}, .thinks = false, .padded = true};

}  // namespace

Flux2PromptEncoder::Flux2PromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options)
    : text_(checkpoint, options, kAsked) {
  const io::Component& network = checkpoint.component("transformer");
  require_equal(network, "joint_attention_dim",
                TransformerConfig::from(network.config).joint_attention_dim,
                std::ssize(kAsked.states) * text_.width(),
                message(kAsked.states.size(), " times the 'hidden_size' of ",
                        checkpoint.component("text_encoder").config.origin()));
}

void Flux2PromptEncoder::check(std::span<const Prompt> prompts) const {
  std::vector<std::string> unused;
  for (const Prompt& prompt : prompts)
    text_.tokenize(without_marks(prompt, unused).text_for(1), prompt.text_tokens, unused);
}

EncodedPrompts Flux2PromptEncoder::encode(std::span<const Prompt> prompts) const {
  EncodedPrompts encoded;
  for (const Prompt& marked : prompts) {
    const Prompt prompt = without_marks(marked, encoded.warnings);
    const std::vector<Tensor> states =
        text_.encode(prompt.text_for(1), prompt.text_tokens, encoded.warnings);
    encoded.conditionings.push_back({.context = at::cat(states, 2)});
  }
  return encoded;
}

}  // namespace sdrbee::flux2
