#include "sdrbee/models/common/control_residuals.h"

#include <ATen/ops/zeros.h>

#include <functional>
#include <utility>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

/// Replaces each tensor of `all` by what `change` makes of it.
void change_each(ControlResiduals& all, const std::function<Tensor(const Tensor&)>& change) {
  for (Tensor& skip : all.skips) skip = change(skip);
  if (all.middle.defined()) all.middle = change(all.middle);
  for (Tensor& feature : all.features) feature = change(feature);
}

/// The sums, element by element, where both have any.
void add_to(std::vector<Tensor>& sum, const std::vector<Tensor>& more) {
  if (sum.empty()) sum.resize(more.size());
  SDRBEE_CHECK(more.empty() || sum.size() == more.size());
  for (size_t i = 0; i < more.size(); ++i)
    sum[i] = sum[i].defined() ? sum[i].add(more[i]) : more[i];
}

void add_to(ControlResiduals& sum, const ControlResiduals& more) {
  add_to(sum.skips, more.skips);
  add_to(sum.features, more.features);
  sum.contexts.insert(sum.contexts.end(), more.contexts.begin(), more.contexts.end());
  if (more.middle.defined())
    sum.middle = sum.middle.defined() ? sum.middle.add(more.middle) : more.middle;
}

/// `part` [n, ...] as the rows `indices` of a batch of `rows`; the others are 0.
Tensor spread(const Tensor& part, const Tensor& indices, int64_t rows) {
  std::vector<int64_t> shape = part.sizes().vec();
  shape[0] = rows;
  return at::zeros(shape, part.options()).index_copy_(0, indices.to(part.device()), part);
}

ControlResiduals weighted_residuals(const ControlInput& control, const Tensor& latents,
                                    const Tensor& timesteps, const Conditioning& conditioning) {
  const int64_t rows = latents.size(0);
  const Tensor indices = control.strengths.nonzero().reshape({-1});
  const bool all = indices.size(0) == rows;
  const auto chosen = [&](const Tensor& whole) {
    return all ? whole : whole.index_select(0, indices.to(whole.device()));
  };
  ControlInput own = control;
  own.image = chosen(control.image);
  ControlResiduals result =
      control.network->residuals(chosen(latents), chosen(timesteps),
                                 all ? conditioning : select_rows(conditioning, indices), own);
  for (ExtraContext& context : result.contexts) {
    context.strengths = control.strengths.reshape({-1, 1, 1});
    if (all) continue;
    for (auto& [path, seen] : context.layers)
      seen = {spread(seen.keys, indices, rows), spread(seen.values, indices, rows)};
  }
  const Tensor strengths = chosen(control.strengths).reshape({-1, 1, 1, 1});
  change_each(result, [&](const Tensor& residual) {
    const Tensor scaled = residual.mul(strengths.to(residual.options()));
    return all ? scaled : spread(scaled, indices, rows);
  });
  return result;
}

}  // namespace

std::optional<ControlResiduals> control_residuals(const Tensor& latents, const Tensor& timesteps,
                                                  const Conditioning& conditioning) {
  std::optional<ControlResiduals> sum;
  for (const ControlInput& control : conditioning.controls) {
    SDRBEE_CHECK_SHAPE(control.strengths, {latents.size(0)});
    if (!control.strengths.any().item<bool>()) continue;
    ControlResiduals own = weighted_residuals(control, latents, timesteps, conditioning);
    if (sum)
      add_to(*sum, own);
    else
      sum = std::move(own);
  }
  return sum;
}

}  // namespace sdrbee
