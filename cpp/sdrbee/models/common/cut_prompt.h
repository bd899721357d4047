// What happens to the end of a prompt that a text encoder without a window to continue in can't
// take.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/models/conditioning.h"

namespace sdrbee {

/// Adds a warning, each once, that the encoder called `encoder` sees `tokens` tokens of a prompt
/// and not the part `lost`. Throws InvalidRequest where `rule` is LongPrompt::Refuse.
void tell_of_cut(std::string_view encoder, int64_t tokens, const std::string& lost, LongPrompt rule,
                 std::vector<std::string>& warnings);

}  // namespace sdrbee
