// How the text of a prompt marks what counts more and where rows of tokens begin.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sdrbee::text {

/// Whether marks in a prompt mean something, and what.
enum class PromptSyntax {
  Plain,  ///< nothing: every character is text
  A1111,  ///< as in A1111's web UI, see parse_prompt
  Compel  ///< as in the compel package, see parse_compel
};

/// The syntax of that name ("plain", "a1111", "compel"), or nothing.
std::optional<PromptSyntax> find_prompt_syntax(std::string_view name);

/// The names of all syntaxes.
std::vector<std::string> prompt_syntaxes();

/// The names of all syntaxes, in quotes, with commas between them.
std::string prompt_syntax_names();

/// A piece of a prompt, and what the encoder's states of its tokens are multiplied by.
struct WeightedText {
  std::string text;
  double weight = 1.0;
  bool operator==(const WeightedText&) const = default;
};

/// The part of a prompt that begins a row of tokens; neighbours differ in weight.
using PromptSection = std::vector<WeightedText>;

/// Reads the marks of emphasis. Any string has a result, in linear time; there is one section at
/// least. In A1111's syntax `(text)` weighs 1.1, `[text]` 1/1.1, `(text:1.3)` 1.3; brackets inside
/// of brackets multiply; `\(`, `\)`, `\[`, `\]` and `\\` are the characters themselves and any
/// other backslash is nothing; the word BREAK begins a new section. What isn't closed ends with the
/// prompt, a closing bracket too many is text, and so is `:x)` unless x is a number. Weights are
/// held within +-10000.
/// https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#attentionemphasis
/// There, a BREAK inside of brackets is a word of negative weight; here it breaks.
/// Compel's syntax is not for this function.
std::vector<PromptSection> parse_prompt(std::string_view prompt, PromptSyntax syntax);

/// The prompt without its marks, for encoders that know neither weights nor rows.
std::string unmarked(const std::vector<PromptSection>& sections);

}  // namespace sdrbee::text
