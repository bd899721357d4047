#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// The clean estimate of the unconditional prediction; without guidance there is one prediction.
Tensor unguided_clean(const PlanDetails& plan, const Prediction& p, const Tensor& x, float sigma) {
  return clean_at(plan, p.raw_uncond.defined() ? p.raw_uncond : p.raw, x, sigma);
}

}  // namespace

/// CFG++ (Chung et al. 2024, arXiv:2406.08070, algorithm 2): the guided clean estimate, noised
/// again with the noise of the unconditional prediction. The last step takes the guided estimate.
Step euler_cfg_pp_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation = evaluation_at(plan, x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  ++history.count;
  const Tensor clean = clean_at(plan, p.raw, x, sigma);
  if (next == 0) co_return clean;
  const float alpha = plan.is_flow() ? 1 - sigma : 1;
  const float next_alpha = plan.is_flow() ? 1 - next : 1;
  const Tensor noise = (x - unguided_clean(plan, p, x, sigma) * alpha) / sigma;
  co_return clean* next_alpha + noise* next;
}

/// The same with ancestral noise, `eta` times.
Step euler_ancestral_cfg_pp_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation = evaluation_at(plan, x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  ++history.count;
  const Tensor clean = clean_at(plan, p.raw, x, sigma);
  if (next == 0) co_return clean;
  const AncestralSpread spread = accurate_ancestral_spread(sigma, next, plan.eta);
  const Tensor noise = (x - unguided_clean(plan, p, x, sigma)) / sigma;
  x = clean + noise * spread.down;
  if (plan.eta == 0) co_return x;
  co_return x + draw_noise(context, x) * (plan.s_noise * spread.up);
}

}  // namespace sdrbee::sampling
