#include "sdrbee/models/common/qwen_text.h"

#include <ATen/ops/tensor.h>

#include <span>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/cut_prompt.h"
#include "sdrbee/text/qwen_vocabulary.h"

namespace sdrbee {
namespace {

constexpr const char* kTokenizer = "tokenizer";
constexpr const char* kEncoder = "text_encoder";

text::BpeTokenizer load_qwen_tokenizer(const io::Checkpoint& checkpoint,
                                       const LoadOptions& options) {
  const io::Component* component = checkpoint.find(kTokenizer);
  const bool in_folder = component != nullptr && !component->folder.empty();
  return text::BpeTokenizer(text::read_qwen_vocabulary(
      in_folder ? component->folder
                : text::find_qwen_vocabulary(checkpoint.path(), options.vocabulary_candidates)));
}

const io::Component& encoder_component(const io::Checkpoint& checkpoint) {
  const io::Component& component = checkpoint.component(kEncoder);
  if (component.class_name != "Qwen3Model" && component.class_name != "Qwen3ForCausalLM")
    throw CheckpointError(message("[", checkpoint.path().string(), "] ", kEncoder,
                                  ": expected a Qwen3Model or Qwen3ForCausalLM but got ",
                                  component.class_name));
  return component;
}

text::Qwen3EncoderConfig checked_config(const io::Component& component,
                                        const text::BpeTokenizer& tokenizer) {
  const auto config = text::Qwen3EncoderConfig::from(component.config);
  if (tokenizer.max_id() >= config.vocab_size)
    throw CheckpointError(message("[", component.config.origin(),
                                  "] 'vocab_size': expected at least ", tokenizer.max_id() + 1,
                                  ", for the ids of the tokenizer, but got ", config.vocab_size));
  return config;
}

/// The options with states that count from the front.
QwenTextOptions resolved(QwenTextOptions asked, const io::Component& component) {
  const int64_t layers = text::Qwen3EncoderConfig::from(component.config).num_hidden_layers;
  for (int64_t& state : asked.states) {
    if (state < 0) state += layers + 1;
    if (state < 0 || state > layers)
      throw CheckpointError(message("[", component.config.origin(),
                                    "] 'num_hidden_layers': expected at least ", state,
                                    ", as this model takes that hidden state, but got ", layers));
  }
  return asked;
}

}  // namespace

std::string qwen_chat(const std::string& prompt, bool thinks) {
  std::string chat = "<|im_start|>user\n" + prompt + "<|im_end|>\n" + "<|im_start|>assistant\n";
  if (!thinks) chat += "<think>\n\n</think>\n\n";
  return chat;
}

QwenText::QwenText(const io::Checkpoint& checkpoint, const LoadOptions& options,
                   const QwenTextOptions& asked)
    : asked_(resolved(asked, encoder_component(checkpoint))),
      tokenizer_(load_qwen_tokenizer(checkpoint, options)),
      config_(checked_config(encoder_component(checkpoint), tokenizer_)),
      encoder_(
          encoder_component(checkpoint), options,
          [config = config_, states = asked_.states](const io::WeightScope& scope) {
            return text::Qwen3Encoder(scope, config, states);
          },
          text::Qwen3Encoder::ignorable(config_, asked_.states)),
      cache_(options.prompt_cache) {}

std::vector<int64_t> QwenText::tokenize(const PromptText& prompt, int64_t tokens,
                                        std::vector<std::string>& warnings) const {
  std::vector<int64_t> ids = tokenizer_.encode(qwen_chat(prompt.text, asked_.thinks));
  if (std::ssize(ids) <= tokens) return ids;
  const auto rest = std::span(ids).subspan(static_cast<size_t>(tokens));
  tell_of_cut(prompt,
              {.encoder = "Qwen3",
               .limit = tokens,
               .tokens = std::ssize(ids),
               .lost = tokenizer_.decode(rest),
               .remedy = kLargerLength},
              warnings);
  ids.resize(static_cast<size_t>(tokens));
  return ids;
}

std::vector<Tensor> QwenText::encode(const PromptText& prompt, int64_t tokens,
                                     std::vector<std::string>& warnings) const {
  std::vector<int64_t> ids = tokenize(prompt, tokens, warnings);
  const int64_t count = std::ssize(ids);
  if (asked_.padded) ids.resize(static_cast<size_t>(tokens), tokenizer_.pad());
  return cache_->get_or_make(prompt_key(kEncoder + encoder_.adapter_key(), ids), [&] {
    return encoder_.use()(at::tensor(ids, at::kLong).unsqueeze(0), count);
  });
}

}  // namespace sdrbee
