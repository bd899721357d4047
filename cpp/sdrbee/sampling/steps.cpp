#include "sdrbee/sampling/steps.h"

#include <ATen/ops/clamp.h>

#include <cmath>

namespace sdrbee::sampling {

Evaluation exploding_evaluation(const Tensor& x, float sigma, double timestep) {
  return {x / std::sqrt(sigma * sigma + 1), timestep, variance_preserving_mix(sigma)};
}

Evaluation evaluation_at(const PlanDetails& plan, const Tensor& x, float sigma, double timestep) {
  if (plan.is_flow()) return {x, timestep, {1 - sigma, sigma}};
  return exploding_evaluation(x, sigma, timestep);
}

Tensor clean_at(const PlanDetails& plan, const Tensor& raw, const Tensor& x, float sigma) {
  if (plan.is_flow()) return x - raw * sigma;
  return clean_from_exploding(plan.prediction_type, raw, x, sigma);
}

Tensor constrained(const StepContext& context, Tensor latents, const NoiseLevel& level) {
  if (!context.constrain) return latents;
  return context.constrain(std::move(latents), level);
}

Tensor constrained(const StepContext& context, Tensor latents, int64_t level) {
  return constrained(context, std::move(latents), NoiseLevel{.index = level});
}

Tensor draw_noise(const StepContext& context, const Tensor& latents) {
  return context.noise.normal(latents.sizes()).to(latents.device());
}

Tensor clipped(const SchedulerConfig& config, Tensor clean) {
  if (config.thresholding)
    return dynamic_threshold(clean, config.dynamic_thresholding_ratio, config.sample_max_value);
  if (*config.clip_sample)
    return at::clamp(clean, -config.clip_sample_range, config.clip_sample_range);
  return clean;
}

LogRatio log_ratio(const PlanDetails& plan, int64_t point) {
  const float sigma = plan.point(point);
  const Mix mix = plan.is_flow() ? Mix{1 - sigma, sigma} : variance_preserving_mix(sigma);
  return {mix.alpha, mix.sigma, std::log(mix.alpha) - std::log(mix.sigma)};
}

double adams_weight(const PlanDetails& plan, int64_t step, int64_t order, int64_t back) {
  const auto sigma = [&](int64_t ago) { return static_cast<double>(plan.point(step - ago)); };
  const double from = sigma(0);
  const double to = plan.point(step + 1);
  double integral = 0;
  // Gauss' two points are exact up to degree 3.
  for (const double node : {-1 / std::sqrt(3.0), 1 / std::sqrt(3.0)}) {
    const double tau = (from + to) / 2 + node * (to - from) / 2;
    double value = 1;
    for (int64_t k = 0; k < order; ++k)
      if (k != back) value *= (tau - sigma(k)) / (sigma(back) - sigma(k));
    integral += value * (to - from) / 2;
  }
  return integral;
}

void remember(History& history, Tensor output, int64_t count) {
  history.tensors.push_back(std::move(output));
  if (static_cast<int64_t>(history.tensors.size()) > count)
    history.tensors.erase(history.tensors.begin());
}

}  // namespace sdrbee::sampling
