#include "sdrbee/models/conditioning.h"

#include <ATen/ops/cat.h>

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

}  // namespace

PromptText Prompt::text_for(int encoder) const {
  const std::string first = negative ? "negative_prompt" : "prompt";
  SDRBEE_CHECK(encoder >= 1 && encoder <= 3, encoder);
  const std::optional<std::string>& own = encoder == 3 ? text_3 : text_2;
  if (encoder > 1 && own && !own->empty())
    return {.text = *own, .field = message(first, "_", encoder), .long_prompt = long_prompt};
  return {.text = text.value_or(""), .field = first, .long_prompt = long_prompt};
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
