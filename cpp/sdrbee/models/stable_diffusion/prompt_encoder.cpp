#include "sdrbee/models/stable_diffusion/prompt_encoder.h"

#include <ATen/ops/tensor.h>

#include <algorithm>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/load_network.h"

namespace sdrbee::stable_diffusion {
namespace {

text::ClipTokenizer load_tokenizer(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  const io::Component* component = checkpoint.find("tokenizer");
  const bool in_folder = component != nullptr && !component->folder.empty();
  const auto path =
      in_folder ? component->folder
                : text::find_clip_vocabulary(checkpoint.path(), options.vocabulary_candidates);
  text::ClipVocabulary vocabulary = text::read_clip_vocabulary(path);
  // How a single file's model pads doesn't depend on where the vocabulary was found.
  if (component != nullptr && !in_folder)
    text::set_pad_token(vocabulary, component->config.string_or("pad_token", "<|endoftext|>"));
  return text::ClipTokenizer(vocabulary);
}

/// The tokenizer's ids and rows must be ones that the encoder has embeddings for.
void check_fit(const text::ClipTokenizer& tokenizer, const text::ClipTextConfig& config,
               const io::Component& encoder) {
  if (tokenizer.max_id() >= config.vocab_size)
    throw CheckpointError(message("[", encoder.config.origin(),
                                  "] 'vocab_size': expected at least ", tokenizer.max_id() + 1,
                                  ", for the ids of the tokenizer, but got ", config.vocab_size));
  if (tokenizer.max_length() > config.max_position_embeddings)
    throw CheckpointError(message("[", encoder.config.origin(),
                                  "] 'max_position_embeddings': expected at least ",
                                  tokenizer.max_length(), ", the 'model_max_length' of the ",
                                  "tokenizer, but got ", config.max_position_embeddings));
}

text::ClipTextEncoder load_encoder(const io::Checkpoint& checkpoint, const LoadOptions& options,
                                   const text::ClipTokenizer& tokenizer) {
  const io::Component& component = checkpoint.component("text_encoder", "CLIPTextModel");
  const auto config = text::ClipTextConfig::from(component.config);
  check_fit(tokenizer, config, component);
  const auto build = [&](const io::WeightScope& scope) {
    return text::ClipTextEncoder(scope, config);
  };
  // Exports of transformers before 4.31 stored the positions' index buffer.
  return load_network(component, options, build, {"position_ids"});
}

text::TokenRows tokenize(const text::ClipTokenizer& tokenizer, const Prompt& prompt) {
  return prompt.long_prompt == LongPrompt::Chunk ? text::chunk_prompt(tokenizer, prompt.text)
                                                 : text::truncate_prompt(tokenizer, prompt.text);
}

}  // namespace

PromptEncoder::PromptEncoder(const io::Checkpoint& checkpoint, const LoadOptions& options)
    : tokenizer_(load_tokenizer(checkpoint, options)),
      encoder_(load_encoder(checkpoint, options, tokenizer_)),
      device_(options.device) {}

EncodedPrompts PromptEncoder::encode(std::span<const Prompt> prompts) const {
  std::vector<text::TokenRows> tokens;
  size_t longest = 1;
  EncodedPrompts encoded;
  for (const Prompt& prompt : prompts) {
    tokens.push_back(tokenize(tokenizer_, prompt));
    longest = std::max(longest, tokens.back().rows.size());
    if (tokens.back().truncated)
      encoded.warnings.push_back(message(
          "the prompt was cut at ", tokenizer_.max_length(), " tokens; this part has no effect: '",
          tokens.back().truncated_text, "' (long_prompt='chunk' keeps it)"));
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    text::pad_rows(tokens[i], longest, tokenizer_);
    encoded.conditionings.push_back({encode_rows(tokens[i], prompts[i].clip_skip), {}});
  }
  return encoded;
}

Tensor PromptEncoder::encode_rows(const text::TokenRows& rows, int64_t clip_skip) const {
  std::vector<int64_t> flat;
  for (const auto& row : rows.rows) flat.insert(flat.end(), row.begin(), row.end());
  const Tensor ids =
      at::tensor(flat, at::kLong).reshape({static_cast<int64_t>(rows.rows.size()), -1}).to(device_);
  const text::ClipTextOutput output = encoder_(ids);
  const Tensor states =
      clip_skip == 0 ? output.last_hidden_state : encoder_.skip_layers(output, clip_skip);
  return states.reshape({1, -1, states.size(-1)});  // [rows, 77, D] -> [1, rows * 77, D]
}

}  // namespace sdrbee::stable_diffusion
