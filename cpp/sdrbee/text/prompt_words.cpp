#include "sdrbee/text/prompt_words.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

namespace sdrbee::text {
namespace {

constexpr double kLargestWeight = 1e4;

bool is_word_character(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return byte >= 0x80 || std::isalnum(byte) != 0 || character == '_';
}

bool is_whole_word(std::string_view text, size_t at, size_t length) {
  const bool begins = at == 0 || !is_word_character(text[at - 1]);
  return begins && (at + length == text.size() || !is_word_character(text[at + length]));
}

std::optional<double> number_of(std::string_view text, std::string_view characters) {
  text = trimmed(text);
  if (text.find_first_not_of(characters) != std::string_view::npos) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('+')) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

}  // namespace

std::string_view without_spaces_at_start(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kSpaces), text.size()));
}

std::string_view without_spaces_at_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(kSpaces) + 1);
}

std::string_view trimmed(std::string_view text) {
  return without_spaces_at_start(without_spaces_at_end(text));
}

std::vector<std::string_view> split_at_word(std::string_view text, std::string_view word) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    if (!is_whole_word(text, at, word.size())) continue;
    parts.push_back(text.substr(begin, at - begin));
    begin = at + word.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::optional<double> decimal_number(std::string_view text) {
  return number_of(text, "+-.0123456789");
}

std::optional<double> signed_number(std::string_view text) {
  return number_of(text, "+-.0123456789eE");
}

double bounded_weight(double weight) { return std::clamp(weight, -kLargestWeight, kLargestWeight); }

}  // namespace sdrbee::text
