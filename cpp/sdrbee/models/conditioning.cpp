#include "sdrbee/models/conditioning.h"

#include <ATen/ops/cat.h>

#include <array>

#include "sdrbee/core/check.h"

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
