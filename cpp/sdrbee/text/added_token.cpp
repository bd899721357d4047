#include "sdrbee/text/added_token.h"

#include <algorithm>

#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

bool at_word_boundaries(std::u32string_view text, size_t start, size_t end) {
  return (start == 0 || !is_word_character(text[start - 1])) &&
         (end == text.size() || !is_word_character(text[end]));
}

}  // namespace

TokenMarks::TokenMarks(const std::vector<AddedToken>& tokens, bool normalized,
                       const Normalize& normalize) {
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized) continue;
    std::u32string content = decode_utf8(token.content);
    if (normalized) content = normalize(content);
    if (!content.empty()) marks_.push_back({std::move(content), token.id, token.single_word});
  }
  std::stable_sort(marks_.begin(), marks_.end(), [](const Mark& a, const Mark& b) {
    return a.content.size() > b.content.size();
  });
}

const TokenMarks::Mark* TokenMarks::find_at(std::u32string_view text) const {
  const auto found = std::find_if(marks_.begin(), marks_.end(), [&](const Mark& candidate) {
    return text.starts_with(candidate.content);
  });
  return found == marks_.end() ? nullptr : &*found;
}

void TokenMarks::cut(std::u32string_view text,
                     const std::function<void(std::u32string_view)>& on_text,
                     const std::function<void(int64_t)>& on_mark) const {
  size_t pending = 0;
  for (size_t start = 0; start < text.size() && !marks_.empty();) {
    const Mark* mark = find_at(text.substr(start));
    if (mark == nullptr) {
      ++start;
      continue;
    }
    const size_t end = start + mark->content.size();
    if (!mark->single_word || at_word_boundaries(text, start, end)) {
      if (start > pending) on_text(text.substr(pending, start - pending));
      on_mark(mark->id);
      pending = end;
    }
    start = end;
  }
  if (pending < text.size()) on_text(text.substr(pending));
}

}  // namespace sdrbee::text
