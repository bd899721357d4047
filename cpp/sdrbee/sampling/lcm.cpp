#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// Luo et al. 2023, arXiv:2310.04378, eq. 9 and algorithm 3.
Step diffusion_lcm_step(StepContext context, Tensor x, History& history) {
  constexpr float kSigmaData2 = 0.25F;
  const PlanDetails& plan = context.plan.details();
  const auto t = static_cast<int64_t>(plan.timestep(context.step));
  const float alpha = plan.alpha_cumprod(t);
  const Mix mix{std::sqrt(alpha), std::sqrt(1 - alpha)};

  Evaluation evaluation{x, plan.timestep(context.step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = clipped(plan.config, clean_from(plan.prediction_type, p.raw, x, mix));
  const float scaled = static_cast<float>(t) * static_cast<float>(*plan.config.timestep_scaling);
  const float skip = kSigmaData2 / (scaled * scaled + kSigmaData2);
  const float out = scaled / std::sqrt(scaled * scaled + kSigmaData2);
  const Tensor consistent = clean * out + x * skip;
  ++history.count;
  if (context.step + 1 == plan.steps) co_return consistent;
  const float next = plan.alpha_cumprod(static_cast<int64_t>(plan.timestep(context.step + 1)));
  co_return consistent* std::sqrt(next) + draw_noise(context, x) * std::sqrt(1 - next);
}

/// The same on a flow model; draws noise in the last step too, as diffusers does.
Step flow_lcm_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation{x, plan.timestep(context.step), {1 - sigma, sigma}};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor clean = x - p.raw * sigma;
  ++history.count;
  co_return clean*(1 - next) + draw_noise(context, x) * next;
}

}  // namespace

Step lcm_step(StepContext context, Tensor latents, History& history) {
  return context.plan.details().is_flow()
             ? flow_lcm_step(context, std::move(latents), history)
             : diffusion_lcm_step(context, std::move(latents), history);
}

}  // namespace sdrbee::sampling
