#include <algorithm>
#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// The scale of the noise that a step adds.
float noise_scale(const std::string& variance_type, float variance, float beta) {
  variance = std::max(variance, 1e-20F);
  if (variance_type == "fixed_small") return std::sqrt(variance);
  if (variance_type == "fixed_small_log") return std::exp(0.5F * std::log(variance));
  return std::sqrt(beta);  // fixed_large
}

}  // namespace

/// Ho et al. 2020, arXiv:2006.11239, eq. 6 and 7.
Step ddpm_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const auto t = static_cast<int64_t>(plan.timestep(context.step));
  const bool last = context.step + 1 == plan.steps;
  const float total = plan.alpha_cumprod(t);
  const float next_total =
      last ? 1.0F : plan.alpha_cumprod(static_cast<int64_t>(plan.timestep(context.step + 1)));
  const float alpha = total / next_total;
  const float beta = 1 - alpha;
  const Mix mix{std::sqrt(total), std::sqrt(1 - total)};

  Evaluation evaluation{x, plan.timestep(context.step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clipped(plan.config, clean_from(plan.prediction_type, p.raw, x, mix));
  ++history.count;
  Tensor next = clean * (std::sqrt(next_total) * beta / (1 - total)) +
                x * (std::sqrt(alpha) * (1 - next_total) / (1 - total));
  if (t > 0) {
    const float variance = (1 - next_total) / (1 - total) * beta;
    next = next + draw_noise(context, x) * noise_scale(*plan.config.variance_type, variance, beta);
  }
  co_return next;
}

}  // namespace sdrbee::sampling
