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

std::vector<const Conditioning*> GuidedConditions::rows(const ActiveGuidance& active) const {
  std::vector<const Conditioning*> all;
  if (active.contrast) all.push_back(&base.value());
  for (const WeightedCondition& condition : conditions) all.push_back(&condition.conditioning);
  if (active.skipping) all.push_back(&skipping.value().conditioning);
  return all;
}

sampling::Prediction guide(const GuidedConditions& conditions, const std::vector<Tensor>& raw_rows,
                           const ActiveGuidance& active, double rescale) {
  if (!active.contrast) {
    SDRBEE_CHECK(raw_rows.size() == 1, "one condition without guidance");
    return {raw_rows.front(), {}};
  }
  SDRBEE_CHECK(raw_rows.size() == conditions.rows(active).size());
  const Tensor& base = raw_rows.front();
  Tensor guided = base;
  for (size_t i = 0; i < conditions.conditions.size(); ++i) {
    const WeightedCondition& condition = conditions.conditions[i];
    const double weight = active.scaled ? condition.weight : condition.share;
    guided = guided + (raw_rows[i + 1] - base) * weight;
  }
  if (rescale > 0.0) {
    const Tensor rescaled = guided * (deviation(raw_rows[1]) / deviation(guided));
    guided = rescaled * rescale + guided * (1.0 - rescale);
  }
  if (active.skipping)
    guided = guided + (raw_rows[1] - raw_rows.back()) * conditions.skipping->weight;
  return {guided, base};
}

}  // namespace sdrbee
