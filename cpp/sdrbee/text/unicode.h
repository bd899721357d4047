// The Unicode operations that tokenizers need, on code points.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sdrbee::text {

/// The four classes that CLIP's word pattern tells apart: \p{L}, \p{N}, \s, and the rest.
enum class CharacterClass { Letter, Number, Space, Other };

/// Decodes UTF-8. Every maximal ill-formed part becomes one U+FFFD, as the Unicode standard
/// recommends (3.9, table 3-8) and as Python's `bytes.decode(errors="replace")` does.
std::u32string decode_utf8(std::string_view utf8);

/// Appends the UTF-8 form of one code point.
void append_utf8(std::string& utf8, char32_t character);

/// Unicode normalisation form C, in linear time but for the sorting of marks.
std::u32string compose_canonically(std::u32string_view text);

/// Lower case, each character by itself: no final sigma; U+0130 becomes `i` and U+0307.
std::u32string to_lower(std::u32string_view text);

CharacterClass character_class(char32_t character);

/// Where the user-perceived character that begins at `start` ends (Unicode standard annex 29).
size_t grapheme_end(std::u32string_view text, size_t start);

/// Whether a regular expression's \w matches: letters, numbers, marks, connectors, joiners.
bool is_word_character(char32_t character);

}  // namespace sdrbee::text
