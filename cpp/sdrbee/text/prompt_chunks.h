// Cuts a prompt's tokens into rows of the text encoder's window.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/core/tensor.h"
#include "sdrbee/text/clip_tokenizer.h"
#include "sdrbee/text/prompt_syntax.h"
#include "sdrbee/text/textual_inversion.h"

namespace sdrbee::text {

/// A vector that stands in the place of a token's embedding.
struct LearnedToken {
  int64_t row = 0;
  int64_t column = 0;
  Tensor vector;         // [width] fp32
  std::string identity;  // equal for equal vectors
};

/// Tokens that no other token sees: those of a row from `begin` up to `end`.
struct HiddenTokens {
  int64_t row = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

/// The learned words of a prompt as one text encoder has them.
struct EncoderWords {
  LearnedWords words = {};
  std::string_view key = {};  // see TextualInversion::vectors_for
  int64_t width = 0;
};

/// Rows of exactly `max_length` ids: start mark, tokens, end mark, padding. At least one row.
struct TokenRows {
  std::vector<std::vector<int64_t>> rows;
  std::vector<std::vector<double>> weights;       // of each id; 1 for marks and padding
  std::vector<std::vector<int64_t>> pieces = {};  // of each id: its place in the section, or -1
  std::vector<LearnedToken> learned = {};
  std::vector<HiddenTokens> hidden = {};
  int64_t prompt_tokens = 0;  // of the whole prompt with a start and an end mark, where it was cut
  bool truncated = false;
  std::string truncated_text = {};  // what was cut off, as its tokens read
};

/// One row; tokens beyond the window are dropped (as `padding="max_length", truncation=True`).
/// Sections follow each other without a break.
TokenRows truncate_prompt(const ClipTokenizer& tokenizer, std::span<const PromptSection> sections,
                          const EncoderWords& words = {});
TokenRows truncate_prompt(const ClipTokenizer& tokenizer, std::string_view prompt);

/// Where a row breaks that is full, so that a phrase isn't torn apart.
enum class RowEnd {
  Comma,  ///< after the last comma among its last 20 tokens, if there is one, as in A1111's web UI
  Sentence,  ///< after its last `.`, or else its last `,`, `;` or `:`, or else its last word, as in
             ///< compel
};

/// As many rows as the prompt needs. Each section begins a row, and has one unless it is the last
/// of several and empty.
TokenRows chunk_prompt(const ClipTokenizer& tokenizer, std::span<const PromptSection> sections,
                       const EncoderWords& words = {}, RowEnd row_end = RowEnd::Comma);
TokenRows chunk_prompt(const ClipTokenizer& tokenizer, std::string_view prompt);

/// Appends rows of an empty prompt until there are `count`: a positive and a negative prompt must
/// have the same number of rows.
void pad_rows(TokenRows& token_rows, size_t count, const ClipTokenizer& tokenizer);

/// The encoder's states [rows, window, channels], each multiplied by the weight of its token; the
/// same tensor where all weights are 1.
Tensor weighted_states(const Tensor& states, const TokenRows& token_rows);

/// `weighted` [rows, window, channels] scaled so that the mean of each row is that in `states`, as
/// A1111's web UI does it (its emphasis "Original").
Tensor with_mean_of(const Tensor& states, const Tensor& weighted);

}  // namespace sdrbee::text
