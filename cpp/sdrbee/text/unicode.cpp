#include "sdrbee/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>
#include <vector>

#include "sdrbee/core/check.h"

namespace sdrbee::text {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kDottedCapitalI = 0x130;

struct Range {
  char32_t first;
  char32_t last;
};

struct CaseRange {
  char32_t first;
  char32_t last;
  char32_t first_lower;
  char32_t stride;  // 2 where capital and small letters alternate
};

// What Unicode 15.1 to 17 added, for a utf8proc that is older: Debian 12 has Unicode 15.0.
// Categories stop at 16, as in Hugging Face's tokenizers 0.23 (its letter cases are already those
// of 17). https://www.unicode.org/Public/16.0.0/ucd/UnicodeData.txt
constexpr Range kNewLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3},
    {0x10D4A, 0x10D65}, {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389},
    {0x1138B, 0x1138B}, {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113B7},
    {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0}, {0x13460, 0x143FA},
    {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
constexpr Range kNewNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
                                 {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9},
                                 {0x1E5F1, 0x1E5FA}};
constexpr CaseRange kNewCases[] = {{0x1C89, 0x1C89, 0x1C8A, 1},    {0xA7CB, 0xA7CB, 0x264, 1},
                                   {0xA7CC, 0xA7CE, 0xA7CD, 2},    {0xA7D2, 0xA7D4, 0xA7D3, 2},
                                   {0xA7DA, 0xA7DA, 0xA7DB, 1},    {0xA7DC, 0xA7DC, 0x19B, 1},
                                   {0x10D50, 0x10D65, 0x10D70, 1}, {0x16EA0, 0x16EB8, 0x16EBB, 1}};

bool contains(std::span<const Range> ranges, char32_t character) {
  return std::any_of(ranges.begin(), ranges.end(), [character](const Range& range) {
    return range.first <= character && character <= range.last;
  });
}

utf8proc_category_t category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

// The bytes that may follow a lead byte: how many, and the bounds of the first of them.
struct Continuation {
  int count;
  unsigned char low;
  unsigned char high;
};

Continuation continuation(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {1, 0x80, 0xBF};
  if (lead == 0xE0) return {2, 0xA0, 0xBF};
  if (lead == 0xED) return {2, 0x80, 0x9F};  // no surrogates
  if (lead >= 0xE1 && lead <= 0xEF) return {2, 0x80, 0xBF};
  if (lead == 0xF0) return {3, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {3, 0x80, 0xBF};
  if (lead == 0xF4) return {3, 0x80, 0x8F};
  return {0, 0, 0};
}

// Decodes the sequence at `position` and moves past it, or past its ill-formed part.
char32_t next_character(std::string_view utf8, size_t& position) {
  const auto byte = [&](size_t index) { return static_cast<unsigned char>(utf8[index]); };
  const unsigned char lead = byte(position++);
  if (lead < 0x80) return lead;
  Continuation expected = continuation(lead);
  if (expected.count == 0) return kReplacement;
  char32_t character = lead & (0x3FU >> expected.count);
  for (; expected.count > 0; --expected.count) {
    if (position == utf8.size() || byte(position) < expected.low || byte(position) > expected.high)
      return kReplacement;
    character = character << 6 | (byte(position++) & 0x3FU);
    expected.low = 0x80;
    expected.high = 0xBF;
  }
  return character;
}

std::vector<utf8proc_int32_t> decompose(std::u32string_view text) {
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size() + text.size() / 4);
  utf8proc_int32_t parts[8];  // the longest canonical decomposition has 4
  for (const char32_t character : text) {
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(character),
                                                           parts, 8, UTF8PROC_DECOMPOSE, &boundary);
    SDRBEE_CHECK(count >= 0 && count <= 8, "for the character ", static_cast<uint32_t>(character));
    points.insert(points.end(), parts, parts + count);
  }
  return points;
}

// utf8proc's own sorting is quadratic in the length of a run of marks.
void sort_marks(std::vector<utf8proc_int32_t>& points) {
  const auto combining = [](utf8proc_int32_t point) {
    return utf8proc_get_property(point)->combining_class;
  };
  for (auto first = points.begin(); first != points.end();) {
    if (combining(*first) == 0) {
      ++first;
      continue;
    }
    const auto last =
        std::find_if(first, points.end(), [&](auto point) { return combining(point) == 0; });
    std::stable_sort(first, last, [&](auto a, auto b) { return combining(a) < combining(b); });
    first = last;
  }
}

}  // namespace

std::u32string decode_utf8(std::string_view utf8) {
  std::u32string text;
  text.reserve(utf8.size());
  for (size_t position = 0; position < utf8.size();) text += next_character(utf8, position);
  return text;
}

void append_utf8(std::string& utf8, char32_t character) {
  utf8proc_uint8_t bytes[4];
  const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  utf8.append(bytes, bytes + count);
}

std::u32string compose_canonically(std::u32string_view text) {
  // Nothing below U+0300 combines or decomposes into what doesn't compose again.
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; }))
    return std::u32string(text);
  std::vector<utf8proc_int32_t> points = decompose(text);
  sort_marks(points);
  const auto length =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  SDRBEE_CHECK(length >= 0);
  return {points.begin(), points.begin() + length};
}

std::u32string to_lower(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (const char32_t character : text) {
    if (character == kDottedCapitalI) {
      lower += U"i\u0307";
      continue;
    }
    const auto row = std::find_if(std::begin(kNewCases), std::end(kNewCases),
                                  [character](const CaseRange& range) {
                                    return range.first <= character && character <= range.last &&
                                           (character - range.first) % range.stride == 0;
                                  });
    lower +=
        row != std::end(kNewCases)
            ? row->first_lower + (character - row->first)
            : static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character)));
  }
  return lower;
}

CharacterClass character_class(char32_t character) {
  if ((character >= 0x9 && character <= 0xD) || character == 0x85) return CharacterClass::Space;
  switch (category(character)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::Letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::Number;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterClass::Space;
    case UTF8PROC_CATEGORY_CN:
      if (contains(kNewLetters, character)) return CharacterClass::Letter;
      if (contains(kNewNumbers, character)) return CharacterClass::Number;
      return CharacterClass::Other;
    default:
      return CharacterClass::Other;
  }
}

size_t grapheme_end(std::u32string_view text, size_t start) {
  utf8proc_int32_t state = 0;
  size_t end = start + 1;
  while (end < text.size() &&
         !utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(text[end - 1]),
                                           static_cast<utf8proc_int32_t>(text[end]), &state))
    ++end;
  return end;
}

bool is_word_character(char32_t character) {
  constexpr char32_t kZeroWidthNonJoiner = 0x200C, kZeroWidthJoiner = 0x200D;
  if (character == kZeroWidthNonJoiner || character == kZeroWidthJoiner) return true;
  switch (category(character)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
      return true;
    default:
      return character_class(character) == CharacterClass::Letter;
  }
}

}  // namespace sdrbee::text
