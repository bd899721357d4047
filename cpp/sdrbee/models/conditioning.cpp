#include "sdrbee/models/conditioning.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <array>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

constexpr std::array kTensors = {&Conditioning::context,  &Conditioning::context_counts,
                                 &Conditioning::pooled,   &Conditioning::time_ids,
                                 &Conditioning::guidance, &Conditioning::skipped,
                                 &Conditioning::channels, &Conditioning::reference};

Tensor stack_field(std::span<const Conditioning* const> rows, Tensor Conditioning::*field) {
  if (!(rows.front()->*field).defined()) return {};
  std::vector<Tensor> parts;
  for (const Conditioning* row : rows) parts.push_back(row->*field);
  return at::cat(parts, 0);
}

bool has_weights(const std::vector<text::PromptSection>& sections) {
  return std::ranges::any_of(sections, [](const text::PromptSection& section) {
    return std::ranges::any_of(section,
                               [](const text::WeightedText& piece) { return piece.weight != 1.0; });
  });
}

}  // namespace

PromptText Prompt::text_for(int encoder) const {
  SDRBEE_CHECK(encoder >= 1 && encoder <= 3, encoder);
  PromptText result{.text = text.value_or(""),
                    .field = field,
                    .long_prompt = long_prompt,
                    .syntax = syntax,
                    .words = words};
  const std::optional<std::string>& own = encoder == 3 ? text_3 : text_2;
  if (encoder == 1 || !own || own->empty()) return result;
  result.text = *own;
  result.field = message(negative ? "negative_prompt_" : "prompt_", encoder);
  return result;
}

void refuse_compel(const Prompt& prompt) {
  if (prompt.syntax == text::PromptSyntax::Compel)
    throw InvalidRequest(
        "[prompt_syntax] 'compel' weighs what CLIP makes of words, for Stable Diffusion 1.x, 2.x "
        "and XL alone; expected 'plain' or 'a1111' for this model");
}

Prompt without_marks(const Prompt& prompt, std::vector<std::string>& warnings) {
  constexpr const char* kLost =
      "this model's text encoder can't weigh words: weights in the "
      "prompt have no effect";
  refuse_compel(prompt);
  Prompt result = prompt;
  result.syntax = text::PromptSyntax::Plain;
  for (std::optional<std::string>* const written : {&result.text, &result.text_2, &result.text_3}) {
    if (!*written) continue;
    const auto sections = text::parse_prompt(**written, prompt.syntax);
    *written = text::unmarked(sections);
    if (has_weights(sections) && std::ranges::find(warnings, kLost) == warnings.end())
      warnings.emplace_back(kLost);
  }
  return result;
}

Conditioning stack(std::span<const Conditioning* const> rows) {
  SDRBEE_CHECK(!rows.empty());
  Conditioning stacked;
  for (Tensor Conditioning::*field : kTensors) stacked.*field = stack_field(rows, field);
  return stacked;
}

Conditioning select_rows(const Conditioning& batch, const Tensor& indices) {
  Conditioning selected;
  for (Tensor Conditioning::*field : kTensors)
    if (const Tensor& whole = batch.*field; whole.defined())
      selected.*field = whole.index_select(0, indices.to(whole.device()));
  return selected;
}

}  // namespace sdrbee
