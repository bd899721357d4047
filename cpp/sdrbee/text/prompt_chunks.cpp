#include "sdrbee/text/prompt_chunks.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "sdrbee/core/check.h"

namespace sdrbee::text {
namespace {

constexpr size_t kCommaWindow = 20;

std::vector<int64_t> make_row(const ClipTokenizer& tokenizer, std::span<const int64_t> ids) {
  std::vector<int64_t> row{tokenizer.bos()};
  row.insert(row.end(), ids.begin(), ids.end());
  row.push_back(tokenizer.eos());
  row.resize(static_cast<size_t>(tokenizer.max_length()), tokenizer.pad());
  return row;
}

size_t tokens_in_row(const ClipTokenizer& tokenizer) {
  SDRBEE_CHECK(tokenizer.max_length() >= 3, "for a window of ", tokenizer.max_length());
  return static_cast<size_t>(tokenizer.max_length()) - 2;
}

// How many of `ids`, which are more than fit into a row, go into it.
size_t break_at_comma(std::span<const int64_t> ids, size_t capacity, int64_t comma) {
  if (ids[capacity] == comma) return capacity;
  const std::span<const int64_t> tail = ids.first(capacity).last(std::min(kCommaWindow, capacity));
  const auto last = std::find(tail.rbegin(), tail.rend(), comma);
  return last == tail.rend() ? capacity
                             : capacity - static_cast<size_t>(std::distance(tail.rbegin(), last));
}

}  // namespace

TokenRows truncate_prompt(const ClipTokenizer& tokenizer, std::string_view prompt) {
  const std::vector<int64_t> ids = tokenizer.encode(prompt);
  const std::span<const int64_t> kept =
      std::span(ids).first(std::min(ids.size(), tokens_in_row(tokenizer)));
  const std::span<const int64_t> dropped = std::span(ids).subspan(kept.size());
  return {.rows = {make_row(tokenizer, kept)},
          .prompt_tokens = std::ssize(ids) + 2,
          .truncated = !dropped.empty(),
          .truncated_text = tokenizer.decode(dropped)};
}

TokenRows chunk_prompt(const ClipTokenizer& tokenizer, std::string_view prompt) {
  const std::vector<int64_t> ids = tokenizer.encode(prompt);
  const size_t capacity = tokens_in_row(tokenizer);
  TokenRows result{.rows = {}, .prompt_tokens = std::ssize(ids) + 2, .truncated_text = {}};
  std::span<const int64_t> rest = ids;
  while (rest.size() > capacity) {
    const size_t count = break_at_comma(rest, capacity, tokenizer.comma());
    result.rows.push_back(make_row(tokenizer, rest.first(count)));
    rest = rest.subspan(count);
  }
  if (!rest.empty() || result.rows.empty()) result.rows.push_back(make_row(tokenizer, rest));
  return result;
}

void pad_rows(TokenRows& token_rows, size_t count, const ClipTokenizer& tokenizer) {
  while (token_rows.rows.size() < count) token_rows.rows.push_back(make_row(tokenizer, {}));
}

}  // namespace sdrbee::text
