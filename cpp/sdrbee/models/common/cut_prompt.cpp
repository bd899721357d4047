#include "sdrbee/models/common/cut_prompt.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

constexpr size_t kShown = 100;  // bytes of a text that was cut off, in messages

/// The beginning of a text, and how much more there is.
std::string shown(const std::string& text) {
  if (text.size() <= kShown) return text;
  size_t end = kShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return message(text.substr(0, end), "... and ", text.size() - end, " more bytes");
}

}  // namespace

void tell_of_cut(const PromptText& text, const CutText& cut, std::vector<std::string>& warnings) {
  if (text.long_prompt == LongPrompt::Refuse)
    throw InvalidRequest(message(
        "[", text.field, "] expected at most ", cut.limit, " tokens for ", cut.encoder, " but got ",
        cut.tokens, ", those that it adds included; this part is too much: '", shown(cut.lost),
        "'; shorten it, or ", cut.remedy, ", or let it be cut by long_prompt='truncate'"));
  std::string warning =
      message("the prompt was cut at ", cut.limit, " tokens for ", cut.encoder,
              ", which doesn't see this part: '", shown(cut.lost), "' (", cut.remedy, ")");
  if (std::ranges::find(warnings, warning) == warnings.end())
    warnings.push_back(std::move(warning));
}

}  // namespace sdrbee
