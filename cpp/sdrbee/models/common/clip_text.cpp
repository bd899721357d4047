#include "sdrbee/models/common/clip_text.h"

#include <ATen/ops/tensor.h>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/models/common/cut_prompt.h"

namespace sdrbee {
namespace {

text::ClipTokenizer load_clip_tokenizer(const io::Checkpoint& checkpoint, const char* name,
                                        const LoadOptions& options) {
  const io::Component* component = checkpoint.find(name);
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

text::ClipTextConfig checked_config(const io::Component& component,
                                    const text::ClipTokenizer& tokenizer, bool needs_projection) {
  auto config = text::ClipTextConfig::from(component.config);
  config.projected |= needs_projection;
  check_fit(tokenizer, config, component);
  return config;
}

/// hidden_states[-(clip_skip + 2)], as diffusers counts for models that never use the last layer.
const Tensor& states_before_last(const text::ClipTextOutput& output, int64_t clip_skip) {
  const auto count = static_cast<int64_t>(output.hidden_states.size());
  SDRBEE_CHECK(clip_skip >= 0 && clip_skip <= count - 2, clip_skip);
  return output.hidden_states[static_cast<size_t>(count - 2 - clip_skip)];
}

}  // namespace

size_t row_count(const ClipRows& rows) {
  const auto* const compel = std::get_if<text::CompelRows>(&rows);
  return compel != nullptr ? compel->count() : std::get<text::TokenRows>(rows).rows.size();
}

int64_t clip_layers(const io::Checkpoint& checkpoint, const char* encoder) {
  return text::ClipTextConfig::from(checkpoint.component(encoder).config).num_hidden_layers;
}

ClipText::ClipText(const io::Checkpoint& checkpoint, const ClipTextNames& names,
                   const LoadOptions& options)
    : tokenizer_(load_clip_tokenizer(checkpoint, names.tokenizer, options)),
      config_(checked_config(checkpoint.component(names.encoder, names.encoder_class), tokenizer_,
                             names.needs_projection)),
      // Exports of transformers before 4.31 stored the positions' index buffer.
      encoder_(checkpoint.component(names.encoder), options,
               [config = config_](const io::WeightScope& scope) {
                 return text::ClipTextEncoder(scope, config);
               },
               {"position_ids"}),
      device_(options.device),
      names_(names),
      cache_(options.prompt_cache) {}

ClipRows ClipText::read(const PromptText& text, std::vector<std::string>& warnings) const {
  if (text.syntax != text::PromptSyntax::Compel) return tokenize(text, warnings);
  return text::compel_rows(tokenizer_, text.text, text.field,
                           [&](const text::PromptSection& pieces) {
                             return cut(text, {&pieces, 1}, warnings);
                           });
}

text::TokenRows ClipText::tokenize(const PromptText& text,
                                   std::vector<std::string>& warnings) const {
  return cut(text, text::parse_prompt(text.text, text.syntax), warnings);
}

text::TokenRows ClipText::cut(const PromptText& text, std::span<const text::PromptSection> sections,
                              std::vector<std::string>& warnings) const {
  const text::EncoderWords words{text.words, names_.words_key, config_.hidden_size};
  if (text.long_prompt == LongPrompt::Chunk)
    return text::chunk_prompt(
        tokenizer_, sections, words,
        text.syntax == text::PromptSyntax::Compel ? text::RowEnd::Sentence : text::RowEnd::Comma);
  text::TokenRows rows = text::truncate_prompt(tokenizer_, sections, words);
  if (rows.truncated)
    tell_of_cut(text,
                {.encoder = "CLIP",
                 .limit = tokenizer_.max_length(),
                 .tokens = rows.prompt_tokens,
                 .lost = rows.truncated_text,
                 .remedy = "long_prompt='chunk' keeps all of it"},
                warnings);
  return rows;
}

ClipFeatures ClipText::weighed(ClipRows rows, size_t count, int64_t clip_skip) const {
  if (const auto* const compel = std::get_if<text::CompelRows>(&rows))
    return blended(*compel, count, clip_skip);
  auto& tokens = std::get<text::TokenRows>(rows);
  pad(tokens, count);
  ClipFeatures features = encode(tokens, clip_skip);
  features.states =
      text::with_mean_of(features.states, text::weighted_states(features.states, tokens));
  return features;
}

ClipFeatures ClipText::blended(const text::CompelRows& rows, size_t count,
                               int64_t clip_skip) const {
  ClipFeatures features =
      names_.needs_projection ? encode(rows.written, clip_skip) : ClipFeatures{};
  features.states = text::compel_states(
      rows, count, [&](const text::TokenRows& tokens) { return encode(tokens, clip_skip).states; });
  return features;
}

void ClipText::pad(text::TokenRows& rows, size_t count) const {
  text::pad_rows(rows, count, tokenizer_);
}

ClipFeatures ClipText::encode(const text::TokenRows& rows, int64_t clip_skip) const {
  std::vector<int64_t> flat;
  for (const auto& row : rows.rows) flat.insert(flat.end(), row.begin(), row.end());
  std::vector<int64_t> known_by = flat;
  known_by.push_back(clip_skip);
  std::string encoder_name = names_.encoder + encoder_.adapter_key();
  for (const text::LearnedToken& token : rows.learned)
    encoder_name += message(' ', token.row, ':', token.column, ':', token.identity);
  for (const text::HiddenTokens& hidden : rows.hidden)
    encoder_name += message(" -", hidden.row, ':', hidden.begin, ':', hidden.end);
  const std::vector<Tensor> made =
      cache_->get_or_make(prompt_key(encoder_name, known_by), [&]() -> std::vector<Tensor> {
        const auto count = static_cast<int64_t>(rows.rows.size());
        const text::ClipTextEncoder& encoder = encoder_.use();
        const text::ClipTextOutput output =
            encoder(at::tensor(flat, at::kLong).reshape({count, -1}).to(device_), rows.learned,
                    rows.hidden);
        const Tensor states = names_.states == ClipStates::Last
                                  ? encoder.skip_layers(output, clip_skip)
                                  : states_before_last(output, clip_skip);
        return {states, output.pooled, output.text_embeds.value_or(Tensor())};
      });
  return {.states = made[0], .pooled = made[1], .embeds = made[2]};
}

}  // namespace sdrbee
