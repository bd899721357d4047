#include "sdrbee/models/common/cut_prompt.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee {

void tell_of_cut(const PromptText& text, const CutText& cut, std::vector<std::string>& warnings) {
  if (text.long_prompt == LongPrompt::Refuse)
    throw InvalidRequest(message(
        "[", text.field, "] expected at most ", cut.limit, " tokens for ", cut.encoder, " but got ",
        cut.tokens, ", those that it adds included; this part is too much: '", cut.lost,
        "'; shorten it, or ", cut.remedy, ", or let it be cut by long_prompt='truncate'"));
  std::string warning =
      message("the prompt was cut at ", cut.limit, " tokens for ", cut.encoder,
              ", which doesn't see this part: '", cut.lost, "' (", cut.remedy, ")");
  if (std::ranges::find(warnings, warning) == warnings.end())
    warnings.push_back(std::move(warning));
}

}  // namespace sdrbee
