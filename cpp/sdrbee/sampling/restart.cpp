#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {

/// Restart sampling (Xu et al. 2023, arXiv:2306.14878): Heun's steps, some of which are
/// raised to a higher noise level first.
Step restart_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const int64_t index = 2 * context.step;
  const float reached = plan.point(context.step);
  const float sigma = plan.starts[static_cast<size_t>(context.step)];
  const float next = plan.point(context.step + 1);
  if (sigma > reached)
    x = x + draw_noise(context, x) * (plan.s_noise * std::sqrt(sigma * sigma - reached * reached));

  Evaluation first = evaluation_at(plan, x, sigma, plan.timestep(index));
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  const Tensor derivative = (x - clean_at(plan, p.raw, x, sigma)) / sigma;
  Tensor predicted = x + derivative * (next - sigma);
  ++history.count;
  if (next == 0) co_return predicted;

  predicted = constrained(context, std::move(predicted), index + 1);
  Evaluation second = evaluation_at(plan, predicted, next, plan.timestep(index + 1));
  const Prediction q = co_await EvaluationAwaiter(std::move(second));
  const Tensor corrected = (predicted - clean_at(plan, q.raw, predicted, next)) / next;
  co_return x + (derivative + corrected) * (0.5F * (next - sigma));
}

}  // namespace sdrbee::sampling
