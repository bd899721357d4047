#include "sdrbee/sampling/steps.h"

#include <ATen/ops/clamp.h>

#include <cmath>

namespace sdrbee::sampling {

Evaluation exploding_evaluation(const Tensor& x, float sigma, double timestep) {
  return {x / std::sqrt(sigma * sigma + 1), timestep, variance_preserving_mix(sigma)};
}

Tensor constrained(const StepContext& context, Tensor latents, int64_t level) {
  if (!context.constrain) return latents;
  return context.constrain(std::move(latents), NoiseLevel{level});
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

void remember(History& history, Tensor output, int64_t count) {
  history.tensors.push_back(std::move(output));
  if (static_cast<int64_t>(history.tensors.size()) > count)
    history.tensors.erase(history.tensors.begin());
}

}  // namespace sdrbee::sampling
