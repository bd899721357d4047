// Tokens that are found in a text as they are written, whatever the tokenizer does with the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sdrbee::text {

/// A token that is found in the prompt as it is written, before the text is cut into words.
struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool single_word = false;  // only between word boundaries
  bool normalized = false;   // looked for after normalisation, and itself normalised
  bool operator==(const AddedToken&) const = default;
};

/// Added tokens as a text is cut at them: leftmost, then longest.
class TokenMarks {
 public:
  using Normalize = std::function<std::u32string(std::u32string_view)>;

  TokenMarks() = default;
  /// Those of `tokens` that are looked for before (`normalized` false) or after normalisation; the
  /// latter are themselves put through `normalize`. Empty ones are left out.
  TokenMarks(const std::vector<AddedToken>& tokens, bool normalized, const Normalize& normalize);

  /// `on_text` gets what lies between the marks, `on_mark` the mark's id, in the text's order.
  void cut(std::u32string_view text, const std::function<void(std::u32string_view)>& on_text,
           const std::function<void(int64_t)>& on_mark) const;

 private:
  struct Mark {
    std::u32string content;
    int64_t id;
    bool single_word;
  };
  const Mark* find_at(std::u32string_view text) const;

  std::vector<Mark> marks_;  // longest first
};

}  // namespace sdrbee::text
