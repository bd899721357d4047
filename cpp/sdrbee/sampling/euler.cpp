#include <algorithm>
#include <cmath>
#include <numbers>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// Growth of sigma by added noise (Karras et al. 2022, arXiv:2206.00364, algorithm 2).
float churn(const PlanDetails& plan) {
  const double points = static_cast<double>(plan.sigmas.size() - 1);
  return static_cast<float>(std::min(plan.s_churn / points, std::numbers::sqrt2 - 1));
}

/// Karras et al. 2022, algorithm 2 without its second-order correction. The noise is added after
/// the evaluation, as in diffusers.
Step karras_euler_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  Evaluation evaluation = exploding_evaluation(x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const float gamma = churn(plan);
  const float sigma_hat = sigma * (gamma + 1);
  if (gamma > 0) {
    const Tensor noise = draw_noise(context, x) * plan.s_noise;
    x = x + noise * std::sqrt(sigma_hat * sigma_hat - sigma * sigma);
  }
  const bool velocity = plan.prediction_type == PredictionType::Velocity;
  const Tensor clean =
      clean_from_exploding(plan.prediction_type, p.raw, x, velocity ? sigma : sigma_hat);
  ++history.count;
  co_return x + (x - clean) / sigma_hat*(plan.point(context.step + 1) - sigma_hat);
}

/// The straight step of a flow model; `stochastic_sampling` draws the noise of the next level anew.
Step flow_euler_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation{x, plan.timestep(context.step), {1 - sigma, sigma}};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  ++history.count;
  if (!plan.config.stochastic_sampling) co_return x + p.raw*(next - sigma);
  const Tensor clean = x - p.raw * sigma;
  co_return clean*(1 - next) + draw_noise(context, x) * next;
}

}  // namespace

Step euler_step(StepContext context, Tensor latents, History& history) {
  return context.plan.details().is_flow() ? flow_euler_step(context, std::move(latents), history)
                                          : karras_euler_step(context, std::move(latents), history);
}

/// k-diffusion's Euler with ancestral noise; draws noise in the last step too, as diffusers does.
Step euler_ancestral_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  Evaluation evaluation = exploding_evaluation(x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clean_from_exploding(plan.prediction_type, p.raw, x, sigma);
  const AncestralSpread spread = ancestral_spread(sigma, plan.point(context.step + 1));
  x = x + (x - clean) / sigma * (spread.down - sigma);
  ++history.count;
  co_return x + draw_noise(context, x) * spread.up;
}

}  // namespace sdrbee::sampling
