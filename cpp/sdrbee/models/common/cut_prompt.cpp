#include "sdrbee/models/common/cut_prompt.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee {

void tell_of_cut(std::string_view encoder, int64_t tokens, const std::string& lost, LongPrompt rule,
                 std::vector<std::string>& warnings) {
  if (rule == LongPrompt::Refuse)
    throw InvalidRequest(message("[long_prompt] expected a prompt of at most ", tokens,
                                 " tokens for ", encoder, " but this part is too much: '", lost,
                                 "' (a larger max_sequence_length takes more)"));
  std::string warning = message("the prompt was cut at ", tokens, " tokens for ", encoder,
                                ", which doesn't see this part: '", lost,
                                "' (a larger max_sequence_length keeps more)");
  if (std::ranges::find(warnings, warning) == warnings.end())
    warnings.push_back(std::move(warning));
}

}  // namespace sdrbee
