#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// The transfer from timestep `from` to `to` with a combined output (Liu et al. 2022,
/// arXiv:2202.09778, eq. 11).
Tensor transfer(const PlanDetails& plan, const Tensor& x, const Tensor& output, int64_t from,
                int64_t to) {
  const float alpha = plan.alpha_cumprod(from);
  const float next = plan.alpha_cumprod(to);
  const float beta = 1 - alpha;
  const Tensor noise =
      noise_from(plan.prediction_type, output, x, {std::sqrt(alpha), std::sqrt(beta)});
  const float denominator = alpha * std::sqrt(1 - next) + std::sqrt(alpha * beta * next);
  return x * std::sqrt(next / alpha) - noise * (next - alpha) / denominator;
}

/// Adams-Bashforth over the remembered outputs (eq. 12).
Tensor combined(const std::vector<Tensor>& outputs) {
  const auto ago = [&](size_t steps) -> const Tensor& {
    return outputs[outputs.size() - 1 - steps];
  };
  switch (outputs.size()) {
    case 1:
      return ago(0);
    case 2:
      return (ago(0) * 3 - ago(1)) / 2;
    case 3:
      return (ago(0) * 23 - ago(1) * 16 + ago(2) * 5) / 12;
    default:
      return (ago(0) * 55 - ago(1) * 59 + ago(2) * 37 - ago(3) * 9) * (1.0 / 24);
  }
}

Evaluation evaluation_at(const PlanDetails& plan, const Tensor& x, int64_t index) {
  const float alpha = plan.alpha_cumprod(static_cast<int64_t>(plan.timestep(index)));
  return {x, plan.timestep(index), {std::sqrt(alpha), std::sqrt(1 - alpha)}};
}

}  // namespace

/// PLMS: the linear multistep part of PNDM. The first step of a generation evaluates twice: it
/// goes ahead, then goes the same way again with the mean of both outputs.
Step pndm_step(StepContext context, Tensor x, History& history) {
  constexpr int64_t kRemembered = 4;
  const PlanDetails& plan = context.plan.details();
  const int64_t stride = plan.train_steps() / plan.steps;
  const bool first = history.count == 0;
  const int64_t index = context.step + (first ? 0 : 1);
  const auto t = static_cast<int64_t>(plan.timestep(index));

  Evaluation evaluation = evaluation_at(plan, x, index);
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  remember(history, p.raw, kRemembered);
  ++history.count;
  Tensor next = transfer(plan, x, combined(history.tensors), t, t - stride);
  const bool single = index + 1 == static_cast<int64_t>(plan.timesteps.size());
  if (!first || single) co_return next;

  next = constrained(context, std::move(next), index + 1);
  Evaluation repeated = evaluation_at(plan, next, index + 1);
  const Prediction q = co_await EvaluationAwaiter(std::move(repeated));
  const auto target = static_cast<int64_t>(plan.timestep(index + 1));
  co_return transfer(plan, x, (q.raw + p.raw) / 2, target + stride, target);
}

}  // namespace sdrbee::sampling
