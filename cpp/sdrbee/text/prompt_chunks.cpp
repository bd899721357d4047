#include "sdrbee/text/prompt_chunks.h"

#include <ATen/ops/mean.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>
#include <variant>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"

namespace sdrbee::text {
namespace {

constexpr size_t kCommaWindow = 20;

// In the place of a learned word's vectors, as in A1111's web UI; what it is has no effect.
constexpr int64_t kLearnedId = 0;

/// A token of a prompt.
struct PromptToken {
  int64_t id = 0;
  double weight = 1.0;
  int64_t piece = 0;
  Tensor vector = {};  // of a learned word
  std::string identity = {};
  bool continues = false;  // the learned word of the token before
};

using PromptTokens = std::vector<PromptToken>;

void append_word(const TextualInversion& word, const EncoderWords& words, const PromptToken& like,
                 PromptTokens& tokens) {
  const Tensor& vectors = word.vectors_for(words.key, words.width);
  for (int64_t i = 0; i < vectors.size(0); ++i)
    tokens.push_back({.id = kLearnedId,
                      .weight = like.weight,
                      .piece = like.piece,
                      .vector = vectors.select(0, i),
                      .identity = message(word.sha256, ':', i),
                      .continues = i > 0});
}

void append(const ClipTokenizer& tokenizer, const PromptSection& section, const EncoderWords& words,
            PromptTokens& tokens) {
  for (size_t i = 0; i < section.size(); ++i) {
    PromptToken token{.weight = section[i].weight, .piece = static_cast<int64_t>(i)};
    for (const TextOrWord& part : split_at_learned_words(section[i].text, words.words)) {
      if (const auto* const word = std::get_if<const TextualInversion*>(&part)) {
        append_word(**word, words, token, tokens);
        continue;
      }
      for (const int64_t id : tokenizer.encode(std::get<std::string_view>(part))) {
        token.id = id;
        tokens.push_back(token);
      }
    }
  }
}

void add_row(const ClipTokenizer& tokenizer, std::span<const PromptToken> tokens, TokenRows& rows) {
  const auto length = static_cast<size_t>(tokenizer.max_length());
  std::vector<int64_t> ids{tokenizer.bos()};
  std::vector<double> weights{1.0};
  std::vector<int64_t> pieces{-1};
  for (const PromptToken& token : tokens) {
    if (token.vector.defined())
      rows.learned.push_back(
          {std::ssize(rows.rows), std::ssize(ids), token.vector, token.identity});
    ids.push_back(token.id);
    weights.push_back(token.weight);
    pieces.push_back(token.piece);
  }
  ids.push_back(tokenizer.eos());
  ids.resize(length, tokenizer.pad());
  weights.resize(length, 1.0);
  pieces.resize(length, -1);
  rows.rows.push_back(std::move(ids));
  rows.weights.push_back(std::move(weights));
  rows.pieces.push_back(std::move(pieces));
}

size_t tokens_in_row(const ClipTokenizer& tokenizer) {
  SDRBEE_CHECK(tokenizer.max_length() >= 3, "for a window of ", tokenizer.max_length());
  return static_cast<size_t>(tokenizer.max_length()) - 2;
}

size_t break_at_comma(const ClipTokenizer& tokenizer, std::span<const PromptToken> tokens,
                      size_t capacity) {
  const auto is_comma = [&tokenizer](const PromptToken& token) {
    return token.id == tokenizer.mark(',') && !token.vector.defined();
  };
  if (is_comma(tokens[capacity])) return capacity;
  const auto tail = tokens.first(capacity).last(std::min(kCommaWindow, capacity));
  const auto last = std::find_if(tail.rbegin(), tail.rend(), is_comma);
  return last == tail.rend() ? capacity
                             : capacity - static_cast<size_t>(std::distance(tail.rbegin(), last));
}

size_t break_at_sentence(const ClipTokenizer& tokenizer, std::span<const PromptToken> tokens,
                         size_t capacity) {
  const auto is_any_of = [&tokenizer](std::string_view marks) {
    return [&tokenizer, marks](int64_t id) {
      return std::ranges::any_of(marks, [&](char mark) { return tokenizer.mark(mark) == id; });
    };
  };
  const std::function<bool(int64_t)> ends[] = {is_any_of("."), is_any_of(",;:"),
                                               [&](int64_t id) { return tokenizer.ends_word(id); }};
  for (const auto& is_end : ends)
    for (size_t count = capacity; count > 0; --count)
      if (!tokens[count - 1].vector.defined() && is_end(tokens[count - 1].id)) return count;
  return capacity;
}

// How many of `tokens`, which are more than fit into a row, go into it.
size_t break_row(const ClipTokenizer& tokenizer, std::span<const PromptToken> tokens,
                 size_t capacity, RowEnd row_end) {
  size_t end = capacity;
  while (end > 0 && tokens[end].continues) --end;
  if (end > 0 && end < capacity) return end;  // a learned word would be torn apart
  return row_end == RowEnd::Comma ? break_at_comma(tokenizer, tokens, capacity)
                                  : break_at_sentence(tokenizer, tokens, capacity);
}

void add_rows(const ClipTokenizer& tokenizer, std::span<const PromptToken> tokens, RowEnd row_end,
              TokenRows& rows) {
  const size_t capacity = tokens_in_row(tokenizer);
  while (tokens.size() > capacity) {
    const size_t count = break_row(tokenizer, tokens, capacity, row_end);
    add_row(tokenizer, tokens.first(count), rows);
    tokens = tokens.subspan(count);
  }
  add_row(tokenizer, tokens, rows);
}

std::vector<PromptSection> plain(std::string_view prompt) {
  return parse_prompt(prompt, PromptSyntax::Plain);
}

}  // namespace

TokenRows truncate_prompt(const ClipTokenizer& tokenizer, std::span<const PromptSection> sections,
                          const EncoderWords& words) {
  PromptTokens tokens;
  for (const PromptSection& section : sections) append(tokenizer, section, words, tokens);
  const size_t kept = std::min(tokens.size(), tokens_in_row(tokenizer));
  std::vector<int64_t> dropped;
  for (const PromptToken& token : std::span(tokens).subspan(kept)) dropped.push_back(token.id);
  TokenRows result;
  add_row(tokenizer, std::span(tokens).first(kept), result);
  result.prompt_tokens = std::ssize(tokens) + 2;
  result.truncated = !dropped.empty();
  result.truncated_text = tokenizer.decode(dropped);
  return result;
}

TokenRows truncate_prompt(const ClipTokenizer& tokenizer, std::string_view prompt) {
  return truncate_prompt(tokenizer, plain(prompt));
}

TokenRows chunk_prompt(const ClipTokenizer& tokenizer, std::span<const PromptSection> sections,
                       const EncoderWords& words, RowEnd row_end) {
  TokenRows result;
  for (size_t i = 0; i < sections.size(); ++i) {
    PromptTokens tokens;
    append(tokenizer, sections[i], words, tokens);
    const bool nothing_after_break = i > 0 && i + 1 == sections.size() && tokens.empty();
    if (!nothing_after_break) add_rows(tokenizer, tokens, row_end, result);
  }
  return result;
}

TokenRows chunk_prompt(const ClipTokenizer& tokenizer, std::string_view prompt) {
  return chunk_prompt(tokenizer, plain(prompt));
}

void pad_rows(TokenRows& token_rows, size_t count, const ClipTokenizer& tokenizer) {
  while (token_rows.rows.size() < count) add_row(tokenizer, {}, token_rows);
}

Tensor weighted_states(const Tensor& states, const TokenRows& token_rows) {
  std::vector<double> flat;
  for (const auto& row : token_rows.weights) flat.insert(flat.end(), row.begin(), row.end());
  if (std::ranges::all_of(flat, [](double weight) { return weight == 1.0; })) return states;
  SDRBEE_CHECK_SHAPE(states, {std::ssize(token_rows.rows), -1, -1});
  const Tensor weights = at::tensor(flat, at::kDouble)
                             .reshape({states.size(0), states.size(1), 1})
                             .to(states.device(), at::kFloat);
  return states.to(at::kFloat) * weights;
}

Tensor with_mean_of(const Tensor& states, const Tensor& weighted) {
  if (weighted.is_same(states)) return states;
  const auto mean = [](const Tensor& rows) {
    return at::mean(rows, at::IntArrayRef{1, 2}, /*keepdim=*/true, at::kFloat);
  };
  return (weighted * (mean(states) / mean(weighted))).to(states.scalar_type());
}

}  // namespace sdrbee::text
