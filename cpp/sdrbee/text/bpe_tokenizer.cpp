#include "sdrbee/text/bpe_tokenizer.h"

#include <algorithm>

#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

// After an apostrophe, in upper or lower case. `s` has a third form.
constexpr std::u32string_view kContractedLetters[] = {U"s", U"t", U"re", U"ve", U"m", U"ll", U"d"};
constexpr char32_t kLongS = 0x17F;

bool is_line_break(char32_t character) { return character == U'\r' || character == U'\n'; }

char32_t folded(char32_t character) {
  if (character == kLongS) return U's';
  return character >= U'A' && character <= U'Z' ? character + (U'a' - U'A') : character;
}

/// Cuts a text into words; each function gives the end of one alternative of the pattern that
/// begins at `start`, or `start` where it doesn't match.
class WordCutter {
 public:
  explicit WordCutter(std::u32string_view text) : text_(text) {}

  /// The end of the word at `start`:
  /// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|
  /// \s*[\r\n]+|\s+(?!\S)|\s+
  size_t word_end(size_t start) const {
    if (const size_t end = contraction_end(start); end > start) return end;
    if (const size_t end = letters_end(start); end > start) return end;
    if (is(start, CharacterClass::Number)) return start + 1;
    if (const size_t end = symbols_end(start); end > start) return end;
    return spaces_end(start);
  }

 private:
  bool is(size_t at, CharacterClass wanted) const {
    return at < text_.size() && character_class(text_[at]) == wanted;
  }

  size_t end_of_run(size_t start, CharacterClass wanted) const {
    while (is(start, wanted)) ++start;
    return start;
  }

  size_t contraction_end(size_t start) const {
    if (text_[start] != U'\'') return start;
    const std::u32string_view rest = text_.substr(start + 1);
    for (const std::u32string_view letters : kContractedLetters)
      if (rest.size() >= letters.size() &&
          std::equal(letters.begin(), letters.end(), rest.begin(),
                     [](char32_t wanted, char32_t found) { return wanted == folded(found); }))
        return start + 1 + letters.size();
    return start;
  }

  /// Letters, also after one character that is no line break and no number.
  size_t letters_end(size_t start) const {
    const bool leads = !is(start, CharacterClass::Letter) && !is(start, CharacterClass::Number) &&
                       !is_line_break(text_[start]);
    const size_t letters = leads ? start + 1 : start;
    const size_t end = end_of_run(letters, CharacterClass::Letter);
    return end > letters ? end : start;
  }

  /// Other characters, also after one space, and the line breaks behind them.
  size_t symbols_end(size_t start) const {
    const size_t symbols = text_[start] == U' ' ? start + 1 : start;
    size_t end = end_of_run(symbols, CharacterClass::Other);
    if (end == symbols) return start;
    while (end < text_.size() && is_line_break(text_[end])) ++end;
    return end;
  }

  /// White space up to the last line break in it; without one, all but the last character, which
  /// belongs to the word behind it.
  size_t spaces_end(size_t start) const {
    const size_t end = end_of_run(start, CharacterClass::Space);
    for (size_t at = end; at > start; --at)
      if (is_line_break(text_[at - 1])) return at;
    return end == text_.size() || end == start + 1 ? end : end - 1;
  }

  std::u32string_view text_;
};

}  // namespace

BpeTokenizer::BpeTokenizer(const BpeVocabulary& vocabulary)
    : byte_ids_(byte_ids(vocabulary.ids)),
      merges_(vocabulary),
      raw_marks_(vocabulary.added_tokens, /*normalized=*/false, compose_canonically),
      normalized_marks_(vocabulary.added_tokens, /*normalized=*/true, compose_canonically),
      tokens_(tokens_by_id(vocabulary)),
      pad_(vocabulary.pad) {}

std::vector<int64_t> BpeTokenizer::encode(std::string_view utf8) const {
  std::vector<int64_t> ids;
  const auto add_mark = [&ids](int64_t id) { ids.push_back(id); };
  const auto add_words = [&](std::u32string_view text) { encode_words(text, ids); };
  const auto add_raw = [&](std::u32string_view raw) {
    normalized_marks_.cut(compose_canonically(raw), add_words, add_mark);
  };
  raw_marks_.cut(decode_utf8(utf8), add_raw, add_mark);
  return ids;
}

void BpeTokenizer::encode_words(std::u32string_view normalized, std::vector<int64_t>& ids) const {
  const WordCutter cutter(normalized);
  std::string bytes;
  std::vector<int64_t> symbols;
  for (size_t start = 0, end = 0; start < normalized.size(); start = end) {
    end = cutter.word_end(start);
    bytes.clear();
    for (const char32_t character : normalized.substr(start, end - start))
      append_utf8(bytes, character);
    symbols.clear();
    for (const char byte : bytes) symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    std::erase(symbols, -1);
    merges_.merge(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }
}

std::string BpeTokenizer::decode(std::span<const int64_t> ids) const {
  std::string bytes;
  for (const int64_t id : ids)
    if (id >= 0 && id <= max_id()) bytes += bytes_of_token(tokens_[static_cast<size_t>(id)]);
  std::string text;
  for (const char32_t character : decode_utf8(bytes)) append_utf8(text, character);
  return text;
}

}  // namespace sdrbee::text
