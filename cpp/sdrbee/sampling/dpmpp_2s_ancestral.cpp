#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {

/// DPM-Solver++(2S) with ancestral noise, as k-diffusion defines it (Lu et al. 2022,
/// arXiv:2211.01095, algorithm 1); diffusers has no such class.
Step dpmpp_2s_ancestral_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const int64_t index = 2 * context.step;
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  const AncestralSpread spread = accurate_ancestral_spread(sigma, next, plan.eta);

  Evaluation first = exploding_evaluation(x, sigma, plan.timestep(index));
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  const Tensor clean = clean_from_exploding(plan.prediction_type, p.raw, x, sigma);
  ++history.count;
  if (context.step + 1 == plan.steps) co_return x + (x - clean) / sigma*(spread.down - sigma);

  const float inner = plan.midpoints[static_cast<size_t>(context.step)];
  const float log_step = std::log(sigma) - std::log(spread.down);
  Tensor halfway = x * (inner / sigma) - clean * std::expm1(-log_step * 0.5F);
  halfway = constrained(context, std::move(halfway), index + 1);
  Evaluation second = exploding_evaluation(halfway, inner, plan.timestep(index + 1));
  const Prediction q = co_await EvaluationAwaiter(std::move(second));
  const Tensor inner_clean = clean_from_exploding(plan.prediction_type, q.raw, halfway, inner);
  x = x * (spread.down / sigma) - inner_clean * std::expm1(-log_step);
  if (next > 0) x = x + draw_noise(context, x) * (plan.s_noise * spread.up);
  co_return x;
}

}  // namespace sdrbee::sampling
