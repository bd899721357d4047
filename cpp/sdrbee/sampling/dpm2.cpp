#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// DPM-Solver-2 as a midpoint method in sigma (Karras et al. 2022, arXiv:2206.00364, appendix D.2):
/// from `sigma` over the point inside the step to `target`. The last step is Euler's.
Step midpoint_step(StepContext context, Tensor x, History& history, float target, float noise) {
  const PlanDetails& plan = context.plan.details();
  const int64_t index = 2 * context.step;
  const bool last = context.step + 1 == plan.steps;
  const float sigma = plan.point(context.step);
  const float inner = last ? 0.0F : plan.midpoints[static_cast<size_t>(context.step)];
  const auto slope = [&](const Tensor& raw, const Tensor& at, float level) {
    return (at - clean_from_exploding(plan.prediction_type, raw, at, level)) / level;
  };

  Evaluation first = exploding_evaluation(x, sigma, plan.timestep(index));
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  Tensor halfway = x + slope(p.raw, x, sigma) * (inner - sigma);
  ++history.count;
  if (last) co_return halfway;

  halfway = constrained(context, std::move(halfway), index + 1);
  Evaluation second = exploding_evaluation(halfway, inner, plan.timestep(index + 1));
  const Prediction q = co_await EvaluationAwaiter(std::move(second));
  Tensor next = x + slope(q.raw, halfway, inner) * (target - sigma);
  if (noise > 0) next = next + draw_noise(context, x) * noise;
  co_return next;
}

}  // namespace

Step dpm2_step(StepContext context, Tensor latents, History& history) {
  const float target = context.plan.details().point(context.step + 1);
  return midpoint_step(context, std::move(latents), history, target, 0);
}

Step dpm2_ancestral_step(StepContext context, Tensor latents, History& history) {
  const PlanDetails& plan = context.plan.details();
  const AncestralSpread spread =
      ancestral_spread(plan.point(context.step), plan.point(context.step + 1));
  return midpoint_step(context, std::move(latents), history, spread.down, spread.up);
}

}  // namespace sdrbee::sampling
