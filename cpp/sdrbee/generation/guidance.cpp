#include "sdrbee/generation/guidance.h"

#include <ATen/ops/std.h>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

/// Unbiased standard deviation over all dimensions but the batch.
Tensor deviation(const Tensor& rows) {
  return at::std(rows, at::IntArrayRef{1, 2, 3}, /*unbiased=*/true, /*keepdim=*/true);
}

}  // namespace

std::vector<const Conditioning*> GuidedConditions::rows(bool with_guidance) const {
  std::vector<const Conditioning*> all;
  if (with_guidance && base) all.push_back(&*base);
  for (const WeightedCondition& condition : conditions) all.push_back(&condition.conditioning);
  return all;
}

sampling::Prediction guide(const GuidedConditions& conditions, const std::vector<Tensor>& raw_rows,
                           bool with_guidance, double rescale) {
  if (!with_guidance || !conditions.base) {
    SDRBEE_CHECK(raw_rows.size() == 1, "one condition without guidance");
    return {raw_rows.front(), {}};
  }
  SDRBEE_CHECK(raw_rows.size() == conditions.conditions.size() + 1);
  const Tensor& base = raw_rows.front();
  Tensor guided = base;
  for (size_t i = 0; i < conditions.conditions.size(); ++i)
    guided = guided + (raw_rows[i + 1] - base) * conditions.conditions[i].weight;
  if (rescale > 0.0) {
    const Tensor rescaled = guided * (deviation(raw_rows[1]) / deviation(guided));
    guided = rescaled * rescale + guided * (1.0 - rescale);
  }
  return {guided, base};
}

}  // namespace sdrbee
