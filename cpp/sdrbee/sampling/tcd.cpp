#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {

/// Zheng et al. 2024, arXiv:2402.19159, algorithm 4; eta is the paper's gamma.
Step tcd_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const bool last = context.step + 1 == plan.steps;
  const double next_timestep = last ? 0 : plan.timestep(context.step + 1);
  const auto eta_rest = static_cast<float>(1 - plan.eta);
  const float target = std::floor(eta_rest * static_cast<float>(next_timestep));
  const float alpha = plan.alpha_cumprod(static_cast<int64_t>(plan.timestep(context.step)));
  const float target_alpha = plan.alpha_cumprod(static_cast<int64_t>(target));
  const Mix mix{std::sqrt(alpha), std::sqrt(1 - alpha)};

  Evaluation evaluation{x, plan.timestep(context.step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clean_from(plan.prediction_type, p.raw, x, mix);
  const Tensor noise = noise_from(plan.prediction_type, p.raw, x, mix);
  const Tensor predicted = clean * std::sqrt(target_alpha) + noise * std::sqrt(1 - target_alpha);
  ++history.count;
  if (plan.eta == 0 || last) co_return predicted;
  const float ratio = plan.alpha_cumprod(static_cast<int64_t>(next_timestep)) / target_alpha;
  co_return predicted* std::sqrt(ratio) + draw_noise(context, x) * std::sqrt(1 - ratio);
}

}  // namespace sdrbee::sampling
