// Prompts in the syntax of the compel package.
#pragma once

#include <string_view>
#include <vector>

#include "sdrbee/text/prompt_syntax.h"

namespace sdrbee::text {

/// What a prompt in compel's syntax says: one text, or several that are put together.
struct CompelPrompt {
  /// One of the texts. Weights of its pieces are 0 or above; neighbours differ in weight.
  struct Part {
    PromptSection pieces;
    double weight = 1.0;
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts;  // one at least
  bool blended = false;     // the parts are summed up by weight, else they follow each other
  bool operator==(const CompelPrompt&) const = default;
};

/// Reads a prompt as compel 2.5 does, in linear time. `word+` weighs 1.1, `word--` 0.9 x 0.9,
/// `(two words)+`, `"two words"-`, `(two words)1.3` and `word.attend(1.3)` likewise; brackets
/// inside of brackets multiply; without a weight they are left out. `("a", "b").and(1, 0.5)` are
/// texts that follow each other and `("a", "b").blend(1, 0.5)` a mixture of them, whose weights are
/// made to sum up to 1 unless `no_normalize` is the last of them; weights left out are 1. A
/// backslash takes the meaning from ( ) " , . + - =, and what isn't a mark is text, with any
/// brackets. Weights are held within +-10000, brackets deeper than 100 are text.
/// https://github.com/damian0815/compel/blob/main/doc/syntax.md
/// There, backslashes stay in the text but before ( ) and ", and what follows `.and()` is left out.
/// Throws InvalidRequest, naming `field`, for .swap(), withLora() and useLora(), for text behind
/// .and() or .blend(), for weights that aren't numbers, are more or fewer than the texts or can't
/// be normalised, and for more than kMaxParts texts.
CompelPrompt parse_compel(std::string_view prompt, std::string_view field);

}  // namespace sdrbee::text
