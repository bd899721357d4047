#include "sdrbee/text/clip_tokenizer.h"

#include <algorithm>

#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

constexpr std::string_view kWordEnd = "</w>";
constexpr std::string_view kStripped =
    " \x1c\x1d\x1e\x1f";  // what str.strip takes, of what is left
// Written special tokens that the word pattern knows, whatever the added tokens are; GPT-2's
// pattern, which Hugging Face's byte-level step applies to every word once more, cuts them in
// three.
constexpr std::u32string_view kSpelledTokens[] = {U"<|startoftext|>", U"<|endoftext|>"};
constexpr std::u32string_view kContractions[] = {U"'s", U"'t",  U"'re", U"'ve",
                                                 U"'m", U"'ll", U"'d"};

std::u32string normalize(std::u32string_view text) {
  std::u32string spaced;
  bool in_space = false;
  for (const char32_t character : compose_canonically(text)) {
    const bool space = character_class(character) == CharacterClass::Space;
    if (!space || !in_space) spaced += space ? U' ' : character;
    in_space = space;
  }
  return to_lower(spaced);
}

// Where the run of `wanted` characters that begins at `start` ends.
size_t end_of_run(std::u32string_view text, size_t start, CharacterClass wanted) {
  size_t end = start;
  while (end < text.size() && character_class(text[end]) == wanted) ++end;
  return end;
}

// Length of the literal of `literals` at the start of `text`, 0 when there is none.
size_t literal_at(std::u32string_view text, std::span<const std::u32string_view> literals) {
  for (const auto& literal : literals)
    if (text.starts_with(literal)) return literal.size();
  return 0;
}

// The end of the word at `start`, where no white space is: CLIP's pattern, written out:
// <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
size_t word_end(std::u32string_view text, size_t start) {
  if (text[start] == U'\'')
    if (const size_t length = literal_at(text.substr(start), kContractions)) return start + length;
  const CharacterClass kind = character_class(text[start]);
  return kind == CharacterClass::Number ? start + 1 : end_of_run(text, start, kind);
}

}  // namespace

ClipTokenizer::ClipTokenizer(const ClipVocabulary& vocabulary)
    : byte_ids_(byte_ids(vocabulary.ids)),
      word_end_ids_(byte_ids(vocabulary.ids, std::string(kWordEnd))),
      merges_(vocabulary),
      raw_marks_(vocabulary.added_tokens, /*normalized=*/false, normalize),
      normalized_marks_(vocabulary.added_tokens, /*normalized=*/true, normalize),
      tokens_(tokens_by_id(vocabulary)),
      bos_(vocabulary.bos),
      eos_(vocabulary.eos),
      pad_(vocabulary.pad),
      unknown_(vocabulary.unknown),
      max_length_(vocabulary.max_length) {}

std::vector<int64_t> ClipTokenizer::encode(std::string_view utf8) const {
  std::vector<int64_t> ids;
  const auto add_mark = [&ids](int64_t id) { ids.push_back(id); };
  const auto add_raw = [&](std::u32string_view raw) {
    const std::u32string normalized = normalize(raw);
    const auto add_words = [&](std::u32string_view text) { encode_words(text, ids); };
    normalized_marks_.cut(normalized, add_words, add_mark);
  };
  raw_marks_.cut(decode_utf8(utf8), add_raw, add_mark);
  return ids;
}

void ClipTokenizer::encode_words(std::u32string_view normalized, std::vector<int64_t>& ids) const {
  std::string bytes;
  const auto add_word = [&](std::u32string_view word) {
    bytes.clear();
    for (const char32_t character : word) append_utf8(bytes, character);
    encode_word(bytes, ids);
  };
  for (size_t start = 0; start < normalized.size();) {
    if (normalized[start] == U' ') {
      ++start;
      continue;
    }
    if (const size_t length = literal_at(normalized.substr(start), kSpelledTokens)) {
      add_word(normalized.substr(start, 2));               // <|
      add_word(normalized.substr(start + 2, length - 4));  // endoftext
      add_word(normalized.substr(start + length - 2, 2));  // |>
      start += length;
      continue;
    }
    const size_t end = word_end(normalized, start);
    add_word(normalized.substr(start, end - start));
    start = end;
  }
}

void ClipTokenizer::encode_word(std::string_view bytes, std::vector<int64_t>& ids) const {
  std::vector<int64_t> symbols;
  symbols.reserve(bytes.size());
  for (const char byte : bytes) symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  symbols.back() = word_end_ids_[static_cast<unsigned char>(bytes.back())];
  std::replace(symbols.begin(), symbols.end(), int64_t{-1}, unknown_);
  merges_.merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

bool ClipTokenizer::ends_word(int64_t id) const {
  return id >= 0 && id <= max_id() && tokens_[static_cast<size_t>(id)].ends_with(kWordEnd);
}

std::string ClipTokenizer::decode(std::span<const int64_t> ids) const {
  std::string bytes;
  for (const int64_t id : ids)
    if (id >= 0 && id <= max_id()) bytes += bytes_of_token(tokens_[static_cast<size_t>(id)]);
  std::string text;
  for (const char32_t character : decode_utf8(bytes)) append_utf8(text, character);
  for (size_t at = 0; (at = text.find(kWordEnd, at)) != std::string::npos; ++at)
    text.replace(at, kWordEnd.size(), " ");
  text.erase(text.find_last_not_of(kStripped) + 1);
  text.erase(0, text.find_first_not_of(kStripped));
  return text;
}

}  // namespace sdrbee::text
