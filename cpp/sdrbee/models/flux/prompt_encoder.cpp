#include "sdrbee/models/flux/prompt_encoder.h"

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {
namespace {

constexpr T5TextNames kT5Names = {.tokenizer = "tokenizer_2", .encoder = "text_encoder_2"};

}  // namespace

FluxPromptEncoder::FluxPromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options)
    : clip_(checkpoint, {}, options), t5_(checkpoint, kT5Names, options) {
  check_fit(checkpoint);
}

void FluxPromptEncoder::check_fit(const io::Checkpoint& checkpoint) const {
  const io::Component& network = checkpoint.component("transformer");
  const auto config = TransformerConfig::from(network.config);
  const auto field_of = [&](const char* field, const char* component) {
    return message("the '", field, "' of ", checkpoint.component(component).config.origin());
  };
  require_equal(network, "joint_attention_dim", config.joint_attention_dim, t5_.width(),
                field_of("d_model", kT5Names.encoder));
  require_equal(network, "pooled_projection_dim", config.pooled_projection_dim,
                clip_.encoder().config().hidden_size, field_of("hidden_size", "text_encoder"));
}

EncodedPrompts FluxPromptEncoder::encode(std::span<const Prompt> prompts) const {
  EncodedPrompts encoded;
  for (const Prompt& prompt : prompts) {
    if (prompt.clip_skip > 0)
      throw InvalidRequest(
          message("[clip_skip] expected 0, as this model takes the pooled text of ",
                  "CLIP's last layer, but got ", prompt.clip_skip));
    const std::string text = prompt.text.value_or("");
    const std::string second = prompt.text_2.value_or("");
    // What CLIP cuts off, T5 sees.
    std::vector<std::string> unused;
    const text::TokenRows rows = clip_.tokenize(text, LongPrompt::Truncate, unused);
    encoded.conditionings.push_back(
        {.context = t5_.encode(second.empty() ? text : second, prompt.t5_tokens, encoded.warnings),
         .pooled = clip_.encode(rows).pooled});
  }
  return encoded;
}

}  // namespace sdrbee::flux
