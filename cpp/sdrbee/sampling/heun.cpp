#include <algorithm>
#include <cmath>
#include <numbers>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// Karras et al. 2022, arXiv:2206.00364, algorithm 1.
Step karras_heun_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const int64_t index = 2 * context.step;
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  const auto slope = [&](const Tensor& raw, const Tensor& at, float level) {
    Tensor clean = clean_from_exploding(plan.prediction_type, raw, at, level);
    return (at - clipped(plan.config, std::move(clean))) / level;
  };

  Evaluation first = exploding_evaluation(x, sigma, plan.timestep(index));
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  const Tensor derivative = slope(p.raw, x, sigma);
  Tensor predicted = x + derivative * (next - sigma);
  ++history.count;
  if (context.step + 1 == plan.steps) co_return predicted;

  predicted = constrained(context, std::move(predicted), index + 1);
  Evaluation second = exploding_evaluation(predicted, next, plan.timestep(index + 1));
  const Prediction q = co_await EvaluationAwaiter(std::move(second));
  co_return x + (derivative + slope(q.raw, predicted, next)) / 2 * (next - sigma);
}

/// Heun's step of a flow model. As in diffusers the noise of s_churn enters both halves, and the
/// second half's only through its slope.
Step flow_heun_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const int64_t index = 2 * context.step;
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  const double points = static_cast<double>(plan.sigmas.size() - 1);
  const auto gamma = static_cast<float>(std::min(plan.s_churn / points, std::numbers::sqrt2 - 1));
  const float sigma_hat = sigma * (gamma + 1);
  const auto churned = [&](const Tensor& at) {
    if (gamma <= 0) return at;
    const Tensor noise = draw_noise(context, at) * plan.s_noise;
    return at + noise * std::sqrt(sigma_hat * sigma_hat - sigma * sigma);
  };

  Evaluation first{x, plan.timestep(index), {1 - sigma, sigma}};
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  x = churned(x);
  const Tensor derivative = (x - (x - p.raw * sigma)) / sigma_hat;
  Tensor predicted = x + derivative * (next - sigma_hat);
  ++history.count;
  if (context.step + 1 == plan.steps) co_return predicted;

  predicted = constrained(context, std::move(predicted), index + 1);
  Evaluation second{predicted, plan.timestep(index + 1), {1 - next, next}};
  const Prediction q = co_await EvaluationAwaiter(std::move(second));
  predicted = churned(predicted);
  const Tensor corrected = (predicted - (predicted - q.raw * next)) / next;
  co_return x + (derivative + corrected) * 0.5 * (next - sigma_hat);
}

}  // namespace

Step heun_step(StepContext context, Tensor latents, History& history) {
  return context.plan.details().is_flow() ? flow_heun_step(context, std::move(latents), history)
                                          : karras_heun_step(context, std::move(latents), history);
}

}  // namespace sdrbee::sampling
