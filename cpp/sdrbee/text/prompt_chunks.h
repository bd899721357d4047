// Cuts a prompt's tokens into rows of the text encoder's window.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/text/clip_tokenizer.h"

namespace sdrbee::text {

/// Rows of exactly `max_length` ids: start mark, tokens, end mark, padding. At least one row.
struct TokenRows {
  std::vector<std::vector<int64_t>> rows;
  int64_t prompt_tokens = 0;  // of the whole prompt, with one start and one end mark
  bool truncated = false;
  std::string truncated_text;  // what was cut off, as its tokens read
};

/// One row; tokens beyond the window are dropped (as `padding="max_length", truncation=True`).
TokenRows truncate_prompt(const ClipTokenizer& tokenizer, std::string_view prompt);

/// As many rows as the prompt needs. A row that is full breaks after the last comma among its last
/// 20 tokens, if there is one, so that a phrase isn't torn apart (the rule of A1111's web UI).
TokenRows chunk_prompt(const ClipTokenizer& tokenizer, std::string_view prompt);

/// Appends rows of an empty prompt until there are `count`: a positive and a negative prompt must
/// have the same number of rows.
void pad_rows(TokenRows& token_rows, size_t count, const ClipTokenizer& tokenizer);

}  // namespace sdrbee::text
