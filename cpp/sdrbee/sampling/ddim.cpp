#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {

/// Song et al. 2020, arXiv:2010.02502, eq. 12 and 16.
Step ddim_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const auto t = static_cast<int64_t>(plan.timestep(context.step));
  // The stride is that of leading spacing, whatever the spacing is.
  const float alpha = plan.alpha_cumprod(t);
  const float next_alpha = plan.alpha_cumprod(t - plan.train_steps() / plan.steps);
  const Mix mix{std::sqrt(alpha), std::sqrt(1 - alpha)};

  Evaluation evaluation{x, plan.timestep(context.step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clipped(plan.config, clean_from(plan.prediction_type, p.raw, x, mix));
  const Tensor noise = noise_from(plan.prediction_type, p.raw, x, mix);
  const float variance = (1 - next_alpha) / (1 - alpha) * (1 - alpha / next_alpha);
  const float deviation = static_cast<float>(plan.eta) * std::sqrt(variance);
  const Tensor direction = noise * std::sqrt(1 - next_alpha - deviation * deviation);
  ++history.count;
  Tensor next = clean * std::sqrt(next_alpha) + direction;
  if (plan.eta > 0) next = next + draw_noise(context, x) * deviation;
  co_return next;
}

}  // namespace sdrbee::sampling
