#include "sdrbee/text/charsmap.h"

#include <cstring>

#include "sdrbee/core/error.h"
#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

// https://github.com/huggingface/spm_precompiled/blob/master/src/lib.rs
constexpr size_t kGraphemeBytes = 6;

// A unit of Darts-clone's double array.
// https://github.com/s-yata/darts-clone/blob/master/include/darts.h
struct Unit {
  uint32_t bits;
  bool has_leaf() const { return (bits >> 8 & 1U) == 1U; }
  uint32_t value() const { return bits & 0x7FFFFFFFU; }
  uint32_t label() const { return bits & 0x800000FFU; }
  uint32_t offset() const { return bits >> 10 << ((bits & 1U << 9) >> 6); }
};

uint32_t little_endian(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& origin) {
  if (bytes.empty()) return;
  const size_t trie_bytes = bytes.size() < 4 ? 0 : little_endian(bytes.data());
  if (trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes > bytes.size() - 4)
    throw CheckpointError(message("[tokenizer] ", origin, ": 'precompiled_charsmap' of ",
                                  bytes.size(), " bytes: expected a trie within it but got one of ",
                                  trie_bytes, " bytes"));
  for (size_t i = 0; i < trie_bytes; i += 4) trie_.push_back(little_endian(bytes.data() + 4 + i));
  texts_ = bytes.substr(4 + trie_bytes);
}

/// What the shortest key that `utf8` begins with is replaced by. Offsets that lead out of the
/// table end the search, whatever the file says.
std::optional<std::string_view> Charsmap::replacement(std::string_view utf8) const {
  size_t node = 0;
  Unit unit{trie_.front()};
  node ^= unit.offset();
  for (const char character : utf8) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    if (node >= trie_.size()) return std::nullopt;
    unit = Unit{trie_[node]};
    if (unit.label() != byte) return std::nullopt;
    node ^= unit.offset();
    if (!unit.has_leaf()) continue;
    const size_t start = node < trie_.size() ? Unit{trie_[node]}.value() : texts_.size();
    if (start >= texts_.size()) return std::nullopt;
    const std::string_view rest = std::string_view(texts_).substr(start);
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

std::u32string Charsmap::normalize(std::u32string_view text) const {
  if (trie_.empty()) return std::u32string(text);
  std::u32string normalized;
  normalized.reserve(text.size());
  std::string utf8;
  const auto replaced = [&](std::u32string_view part) {
    utf8.clear();
    for (const char32_t character : part) append_utf8(utf8, character);
    const auto found = utf8.size() < kGraphemeBytes ? replacement(utf8) : std::nullopt;
    if (found) normalized += decode_utf8(*found);
    return found.has_value();
  };
  for (size_t start = 0; start < text.size();) {
    const size_t end = grapheme_end(text, start);
    if (!replaced(text.substr(start, end - start)))
      for (size_t i = start; i < end; ++i)
        if (!replaced(text.substr(i, 1))) normalized += text[i];
    start = end;
  }
  return normalized;
}

}  // namespace sdrbee::text
