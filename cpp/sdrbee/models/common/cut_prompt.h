// What happens to the end of a text that is longer than its encoder takes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sdrbee/models/conditioning.h"

namespace sdrbee {

/// A text that is too long for an encoder.
struct CutText {
  const char* encoder = "";
  int64_t limit = 0;        // tokens that it takes, with those that it adds itself
  int64_t tokens = 0;       // of the whole text, counted in the same way
  std::string lost;         // the part that it doesn't see; messages show its beginning
  const char* remedy = "";  // how to have more of it seen, in words
};

/// The remedy of encoders that have no window to continue in.
inline constexpr const char* kLargerLength = "a larger max_sequence_length keeps more";

/// Adds a warning, each once: several encoders may cut alike. Throws InvalidRequest where
/// `text.long_prompt` is LongPrompt::Refuse.
void tell_of_cut(const PromptText& text, const CutText& cut, std::vector<std::string>& warnings);

}  // namespace sdrbee
