#include "sdrbee/models/flux/prompt_encoder.h"

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {
namespace {

constexpr T5TextNames kT5Names = {.tokenizer = "tokenizer_2", .encoder = "text_encoder_2"};

/// Before any weights are read: the widths of the encoders are those that the network takes.
const io::Checkpoint& checked(const io::Checkpoint& checkpoint) {
  const io::Component& network = checkpoint.component("transformer");
  const io::Component& clip = checkpoint.component("text_encoder", "CLIPTextModel");
  const io::Component& t5 = checkpoint.component(kT5Names.encoder, "T5EncoderModel");
  const auto config = TransformerConfig::from(network.config);
  require_equal(network, "joint_attention_dim", config.joint_attention_dim,
                text::T5EncoderConfig::from(t5.config).d_model,
                message("the 'd_model' of ", t5.config.origin()));
  require_equal(network, "pooled_projection_dim", config.pooled_projection_dim,
                text::ClipTextConfig::from(clip.config).hidden_size,
                message("the 'hidden_size' of ", clip.config.origin()));
  return checkpoint;
}

}  // namespace

FluxPromptEncoder::FluxPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options)
    : clip_(checked(checkpoint), {}, options), t5_(checkpoint, kT5Names, options) {}

void FluxPromptEncoder::check(std::span<const Prompt> prompts) const {
  std::vector<std::string> unused;
  for (const Prompt& prompt : prompts)
    t5_.tokenize(without_marks(prompt, unused).text_for(2), prompt.text_tokens, unused);
}

EncodedPrompts FluxPromptEncoder::encode(std::span<const Prompt> prompts) const {
  EncodedPrompts encoded;
  // One encoder after the other, so that only one needs to be in memory.
  std::vector<Prompt> plain;
  for (const Prompt& prompt : prompts) {
    plain.push_back(without_marks(prompt, encoded.warnings));
    // What CLIP cuts off, T5 sees.
    std::vector<std::string> unused;
    PromptText first = plain.back().text_for(1);
    first.long_prompt = LongPrompt::Truncate;
    const text::TokenRows rows = clip_.tokenize(first, unused);
    encoded.conditionings.push_back(
        {.context = {}, .pooled = clip_.encode(rows, /*clip_skip=*/0).pooled});
  }
  for (size_t i = 0; i < plain.size(); ++i)
    encoded.conditionings[i].context =
        t5_.encode(plain[i].text_for(2), plain[i].text_tokens, encoded.warnings);
  return encoded;
}

}  // namespace sdrbee::flux
