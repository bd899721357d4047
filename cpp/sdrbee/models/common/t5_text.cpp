#include "sdrbee/models/common/t5_text.h"

#include <ATen/ops/tensor.h>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/cut_prompt.h"

namespace sdrbee {
namespace {

text::UnigramTokenizer load_t5_tokenizer(const io::Checkpoint& checkpoint, const char* name,
                                         const LoadOptions& options) {
  const io::Component* component = checkpoint.find(name);
  const bool in_folder = component != nullptr && !component->folder.empty();
  return text::UnigramTokenizer(text::read_unigram_vocabulary(
      in_folder ? component->folder
                : text::find_unigram_vocabulary(checkpoint.path(), options.vocabulary_candidates)));
}

text::T5EncoderConfig checked_config(const io::Component& component,
                                     const text::UnigramTokenizer& tokenizer) {
  const auto config = text::T5EncoderConfig::from(component.config);
  if (tokenizer.max_id() >= config.vocab_size)
    throw CheckpointError(message("[", component.config.origin(),
                                  "] 'vocab_size': expected at least ", tokenizer.max_id() + 1,
                                  ", for the ids of the tokenizer, but got ", config.vocab_size));
  return config;
}

}  // namespace

T5Text::T5Text(const io::Checkpoint& checkpoint, const T5TextNames& names,
               const LoadOptions& options)
    : tokenizer_(load_t5_tokenizer(checkpoint, names.tokenizer, options)),
      config_(checked_config(checkpoint.component(names.encoder, "T5EncoderModel"), tokenizer_)),
      // The token embedding is stored twice by some, and some exports hold the decoder, too.
      encoder_(checkpoint.component(names.encoder), options,
               [config = config_](const io::WeightScope& scope) {
                 return text::T5Encoder(scope, config);
               },
               {"encoder.embed_tokens.", "decoder.", "lm_head."}),
      name_(names.encoder),
      cache_(options.prompt_cache) {}

text::TokenRow T5Text::tokenize(const PromptText& prompt, int64_t tokens,
                                std::vector<std::string>& warnings) const {
  text::TokenRow row = tokenizer_.encode_row(prompt.text, tokens);
  if (row.truncated)
    tell_of_cut(prompt,
                {.encoder = "T5",
                 .limit = tokens,
                 .tokens = row.text_tokens,
                 .lost = row.truncated_text,
                 .remedy = kLargerLength},
                warnings);
  return row;
}

Tensor T5Text::encode(const PromptText& prompt, int64_t tokens,
                      std::vector<std::string>& warnings) const {
  const text::TokenRow row = tokenize(prompt, tokens, warnings);
  return cache_
      ->get_or_make(prompt_key(name_ + encoder_.adapter_key(), row.ids),
                    [&]() -> std::vector<Tensor> {
                      return {encoder_.use()(at::tensor(row.ids, at::kLong).unsqueeze(0))};
                    })
      .front();
}

}  // namespace sdrbee
