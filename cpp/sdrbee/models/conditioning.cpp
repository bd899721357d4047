#include "sdrbee/models/conditioning.h"

#include <ATen/ops/cat.h>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

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
  for (Tensor Conditioning::*field :
       {&Conditioning::context, &Conditioning::context_counts, &Conditioning::pooled,
        &Conditioning::time_ids, &Conditioning::guidance, &Conditioning::skipped,
        &Conditioning::channels, &Conditioning::reference})
    stacked.*field = stack_field(rows, field);
  return stacked;
}

}  // namespace sdrbee
