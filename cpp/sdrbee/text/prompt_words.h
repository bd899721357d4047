// Words and numbers inside of prompts.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace sdrbee::text {

/// White space as far as marks in prompts are concerned.
inline constexpr std::string_view kSpaces = " \t\n\v\f\r";

std::string_view trimmed(std::string_view text);
std::string_view without_spaces_at_start(std::string_view text);
std::string_view without_spaces_at_end(std::string_view text);

/// The stretches between the places where `word` stands as a word of its own; one at least.
std::vector<std::string_view> split_at_word(std::string_view text, std::string_view word);

/// The number that is all of `text` but for white space around it, without an exponent: "+1.5",
/// ".5", "-3."; nothing where it isn't one or isn't finite.
std::optional<double> decimal_number(std::string_view text);

/// The same, with an exponent or without.
std::optional<double> signed_number(std::string_view text);

/// A weight from a prompt, held within what doesn't overflow in any dtype: +-10000.
double bounded_weight(double weight);

}  // namespace sdrbee::text
