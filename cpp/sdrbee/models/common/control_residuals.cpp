#include "sdrbee/models/common/control_residuals.h"

#include <ATen/ops/zeros.h>

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "sdrbee/core/check.h"
#include "sdrbee/models/common/soft_control.h"

namespace sdrbee {
namespace {

/// Replaces each tensor by what `change` makes of it; of one that stands in several places once.
void change_each(std::vector<Tensor>& all, const std::function<Tensor(const Tensor&)>& change) {
  std::map<const void*, Tensor> changed;
  for (Tensor& one : all) {
    Tensor& result = changed[one.unsafeGetTensorImpl()];
    if (!result.defined()) result = change(one);
    one = result;
  }
}

void change_each(ControlResiduals& all, const std::function<Tensor(const Tensor&)>& change) {
  if (all.middle.defined()) all.middle = change(all.middle);
  for (std::vector<Tensor>* part : {&all.skips, &all.features, &all.blocks, &all.single_blocks})
    change_each(*part, change);
}

/// The sums, element by element, where both have any; of one pair once.
void add_to(std::vector<Tensor>& sum, const std::vector<Tensor>& more) {
  if (sum.empty()) sum.resize(more.size());
  SDRBEE_CHECK(more.empty() || sum.size() == more.size());
  std::map<std::pair<const void*, const void*>, Tensor> added;
  for (size_t i = 0; i < more.size(); ++i) {
    if (!sum[i].defined()) {
      sum[i] = more[i];
      continue;
    }
    Tensor& both = added[{sum[i].unsafeGetTensorImpl(), more[i].unsafeGetTensorImpl()}];
    if (!both.defined()) both = sum[i].add(more[i]);
    sum[i] = both;
  }
}

void add_to(ControlResiduals& sum, const ControlResiduals& more) {
  add_to(sum.skips, more.skips);
  add_to(sum.features, more.features);
  add_to(sum.blocks, more.blocks);
  add_to(sum.single_blocks, more.single_blocks);
  sum.contexts.insert(sum.contexts.end(), more.contexts.begin(), more.contexts.end());
  if (more.middle.defined())
    sum.middle = sum.middle.defined() ? sum.middle.add(more.middle) : more.middle;
}

/// `part` [n, ...] as the rows `indices` of a batch of `rows`; the others are 0. Undefined as it
/// is.
Tensor spread(const Tensor& part, const Tensor& indices, int64_t rows) {
  if (!part.defined()) return part;
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
    return all || !whole.defined() ? whole : whole.index_select(0, indices.to(whole.device()));
  };
  ControlInput own = control;
  own.image = chosen(control.image);
  own.masks = chosen(control.masks);
  own.factors = chosen(control.factors);
  ControlResiduals result =
      control.network->residuals(chosen(latents), chosen(timesteps),
                                 all ? conditioning : select_rows(conditioning, indices), own);
  if (control.soft) soften(result);
  for (ExtraContext& context : result.contexts) {
    context.strengths = control.strengths.reshape({-1, 1, 1});
    if (all) continue;
    context.masks = spread(context.masks, indices, rows);
    for (auto& [path, seen] : context.layers)
      for (Tensor* const tensor : {&seen.keys, &seen.values, &seen.factors})
        *tensor = spread(*tensor, indices, rows);
  }
  const Tensor strengths = chosen(control.strengths).to(latents.device());
  const Tensor sources =
      control.taken_from.defined() ? control.taken_from.to(latents.device()) : Tensor();
  change_each(result, [&](const Tensor& residual) {
    std::vector<int64_t> shape(static_cast<size_t>(residual.dim()), 1);
    shape[0] = -1;
    const Tensor scaled = residual.mul(strengths.reshape(shape).to(residual.options()));
    const Tensor whole = all ? scaled : spread(scaled, indices, rows);
    return sources.defined() ? whole.index_select(0, sources) : whole;
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
