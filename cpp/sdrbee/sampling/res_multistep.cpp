#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {

/// The two-step refined exponential solver (Zhang et al. 2023, arXiv:2308.02157) in -log sigma
/// on the clean estimate. The last step takes that estimate.
Step res_multistep_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation = evaluation_at(plan, x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  remember(history, clean_at(plan, p.raw, x, sigma), 2);
  ++history.count;
  const Tensor& clean = history.tensors.back();
  if (next == 0) co_return clean;

  const double h = std::log(static_cast<double>(sigma) / next);
  const double whole = -std::expm1(-h);  // h phi_1(-h)
  if (history.tensors.size() == 1) co_return x* std::exp(-h) + clean* whole;
  const double before = std::log(static_cast<double>(plan.point(context.step - 1)) / sigma);
  const double old = -(h - whole) / before;  // h phi_2(-h) / c_2, c_2 = -before / h
  co_return x* std::exp(-h) + clean*(whole - old) + history.tensors.front() * old;
}

}  // namespace sdrbee::sampling
