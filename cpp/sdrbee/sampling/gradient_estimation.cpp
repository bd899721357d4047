#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {

/// Permenter & Yuan 2023, arXiv:2306.04848 with gamma = 2: Euler along the derivative
/// moved on by its last change. The last step takes the clean estimate.
Step gradient_estimation_step(StepContext context, Tensor x, History& history) {
  constexpr double kGamma = 2;
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation = evaluation_at(plan, x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clean_at(plan, p.raw, x, sigma);
  remember(history, (x - clean) / sigma, 2);
  ++history.count;
  if (next == 0) co_return clean;
  const Tensor& derivative = history.tensors.back();
  const Tensor change = derivative - history.tensors.front();
  co_return x + (derivative + change * (kGamma - 1)) * (next - sigma);
}

}  // namespace sdrbee::sampling
