#include "sdrbee/text/clip_tokenizer.h"

#include <algorithm>
#include <queue>

#include "sdrbee/core/error.h"
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

// GPT-2's printable stand-in for each byte, which is what vocabulary files are written in.
// https://github.com/openai/gpt-2/blob/master/src/encoder.py#L9
std::array<char32_t, 256> byte_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 256;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    characters[byte] = printable ? byte : next++;
  }
  return characters;
}

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

uint64_t pair_key(int64_t left, int64_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
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

int64_t id_or_unknown(const ClipVocabulary& vocabulary, const std::string& token) {
  const auto found = vocabulary.ids.find(token);
  return found == vocabulary.ids.end() ? -1 : found->second;
}

int64_t required_id(const ClipVocabulary& vocabulary, const std::string& token,
                    const std::pair<std::string, std::string>& rule) {
  const int64_t id = id_or_unknown(vocabulary, token);
  if (id < 0)
    throw CheckpointError(message("[tokenizer] the merge rule '", rule.first, " ", rule.second,
                                  "' needs the token '", token,
                                  "', which the vocabulary lacks: do both files belong together?"));
  return id;
}

// A possible merge of the symbol at `position` with the one after it: lowest rank first, then
// leftmost.
struct Candidate {
  int32_t rank;
  uint32_t position;
  int64_t merged;
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

ClipTokenizer::ClipTokenizer(const ClipVocabulary& vocabulary)
    : raw_marks_(vocabulary.added_tokens, /*normalized=*/false, normalize),
      normalized_marks_(vocabulary.added_tokens, /*normalized=*/true, normalize),
      bos_(vocabulary.bos),
      eos_(vocabulary.eos),
      pad_(vocabulary.pad),
      unknown_(vocabulary.unknown),
      max_length_(vocabulary.max_length) {
  const auto keep = [this](const std::string& token, int64_t id) {
    if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(static_cast<size_t>(id) + 1);
    tokens_[static_cast<size_t>(id)] = token;
  };
  for (const auto& [token, id] : vocabulary.ids) keep(token, id);
  for (const AddedToken& added : vocabulary.added_tokens) keep(added.content, added.id);
  const std::array<char32_t, 256> characters = byte_characters();
  for (size_t byte = 0; byte < 256; ++byte) {
    std::string token;
    append_utf8(token, characters[byte]);
    byte_ids_[byte] = id_or_unknown(vocabulary, token);
    word_end_ids_[byte] = id_or_unknown(vocabulary, token.append(kWordEnd));
  }
  merges_.reserve(vocabulary.merges.size());
  int32_t rank = 0;
  for (const auto& rule : vocabulary.merges) {
    const int64_t left = required_id(vocabulary, rule.first, rule);
    const int64_t right = required_id(vocabulary, rule.second, rule);
    const int64_t merged = required_id(vocabulary, rule.first + rule.second, rule);
    merges_[pair_key(left, right)] = {rank++, merged};
  }
}

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
  merge_pairs(symbols);
  std::copy_if(symbols.begin(), symbols.end(), std::back_inserter(ids),
               [](int64_t id) { return id >= 0; });
}

// Merges in place; -1 takes the place of a symbol that went into the one before it. Stale entries
// stay in the queue and are recognised when they come up, so a long word costs O(n log n).
void ClipTokenizer::merge_pairs(std::vector<int64_t>& symbols) const {
  const auto count = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> next(count), previous(count);
  for (uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // wraps at 0, where it is never read
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto find = [&](uint32_t left) {
    const auto merge = next[left] < count
                           ? merges_.find(pair_key(symbols[left], symbols[next[left]]))
                           : merges_.end();
    return merge;
  };
  const auto propose = [&](uint32_t left) {
    const auto merge = find(left);
    if (merge != merges_.end()) queue.push({merge->second.rank, left, merge->second.id});
  };
  for (uint32_t i = 0; i < count; ++i) propose(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    const uint32_t left = best.position;
    if (symbols[left] < 0) continue;
    const auto merge = find(left);
    if (merge == merges_.end() || merge->second.id != best.merged) continue;
    const uint32_t right = next[left];
    symbols[left] = best.merged;
    symbols[right] = -1;
    next[left] = next[right];
    if (next[left] < count) previous[next[left]] = left;
    if (left > 0) propose(previous[left]);
    propose(left);
  }
}

std::string ClipTokenizer::decode(std::span<const int64_t> ids) const {
  static const auto bytes_of_characters = [] {
    std::unordered_map<char32_t, char> bytes;
    const auto characters = byte_characters();
    for (size_t byte = 0; byte < 256; ++byte) bytes[characters[byte]] = static_cast<char>(byte);
    return bytes;
  }();
  std::string bytes;
  for (const int64_t id : ids) {
    if (id < 0 || id > max_id()) continue;
    for (const char32_t character : decode_utf8(tokens_[static_cast<size_t>(id)])) {
      const auto byte = bytes_of_characters.find(character);
      if (byte != bytes_of_characters.end())
        bytes += byte->second;
      else
        append_utf8(bytes, character);
    }
  }
  std::string text;
  for (const char32_t character : decode_utf8(bytes)) append_utf8(text, character);
  for (size_t at = 0; (at = text.find(kWordEnd, at)) != std::string::npos; ++at)
    text.replace(at, kWordEnd.size(), " ");
  text.erase(text.find_last_not_of(kStripped) + 1);
  text.erase(0, text.find_first_not_of(kStripped));
  return text;
}

}  // namespace sdrbee::text
