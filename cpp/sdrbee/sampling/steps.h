// The step functions of the samplers, one file per family, and what they share.
#pragma once

#include "sdrbee/sampling/plan_details.h"
#include "sdrbee/sampling/step.h"

namespace sdrbee::sampling {

Step euler_step(StepContext context, Tensor latents, History& history);
Step euler_ancestral_step(StepContext context, Tensor latents, History& history);
Step heun_step(StepContext context, Tensor latents, History& history);
Step dpm2_step(StepContext context, Tensor latents, History& history);
Step dpm2_ancestral_step(StepContext context, Tensor latents, History& history);
Step dpmpp_2m_step(StepContext context, Tensor latents, History& history);
Step dpmpp_sde_step(StepContext context, Tensor latents, History& history);
Step dpmpp_2s_ancestral_step(StepContext context, Tensor latents, History& history);
Step lms_step(StepContext context, Tensor latents, History& history);
Step ddim_step(StepContext context, Tensor latents, History& history);
Step ddpm_step(StepContext context, Tensor latents, History& history);
Step pndm_step(StepContext context, Tensor latents, History& history);
Step unipc_step(StepContext context, Tensor latents, History& history);
Step deis_step(StepContext context, Tensor latents, History& history);
Step lcm_step(StepContext context, Tensor latents, History& history);
Step tcd_step(StepContext context, Tensor latents, History& history);
Step dpmpp_3m_sde_step(StepContext context, Tensor latents, History& history);
Step ipndm_step(StepContext context, Tensor latents, History& history);
Step ipndm_v_step(StepContext context, Tensor latents, History& history);
Step res_multistep_step(StepContext context, Tensor latents, History& history);
Step er_sde_step(StepContext context, Tensor latents, History& history);
Step sa_solver_step(StepContext context, Tensor latents, History& history);
Step gradient_estimation_step(StepContext context, Tensor latents, History& history);
Step euler_cfg_pp_step(StepContext context, Tensor latents, History& history);
Step euler_ancestral_cfg_pp_step(StepContext context, Tensor latents, History& history);
Step restart_step(StepContext context, Tensor latents, History& history);
Step dpm_fast_step(StepContext context, Tensor latents, History& history);
Step dpm_adaptive_step(StepContext context, Tensor latents, History& history);

/// The evaluation of variance-exploding latents x = clean + sigma * noise.
Evaluation exploding_evaluation(const Tensor& x, float sigma, double timestep);

/// The evaluation of latents at `sigma`: variance-exploding ones of diffusion models, or those of
/// flow models, x = (1 - sigma) * clean + sigma * noise. In both (x - clean) / sigma is dx /
/// dsigma.
Evaluation evaluation_at(const PlanDetails& plan, const Tensor& x, float sigma, double timestep);

/// The clean estimate of a raw prediction for the same latents.
Tensor clean_at(const PlanDetails& plan, const Tensor& raw, const Tensor& x, float sigma);

/// The latents that a step goes on with after the constraint at a noise level.
Tensor constrained(const StepContext& context, Tensor latents, const NoiseLevel& level);
Tensor constrained(const StepContext& context, Tensor latents, int64_t level);

/// The next noise of the generation, on the device and in the shape of `latents`.
Tensor draw_noise(const StepContext& context, const Tensor& latents);

/// Thresholding or clipping of a clean estimate, where the configuration asks for it.
Tensor clipped(const SchedulerConfig& config, Tensor clean);

/// The point of a plan as a variance-preserving mix or, for flow models, as a linear one.
struct LogRatio {
  float alpha;
  float sigma;
  float lambda;  ///< log(alpha / sigma)
};
LogRatio log_ratio(const PlanDetails& plan, int64_t point);

/// The weight of the derivative `back` steps ago in an Adams-Bashforth step of `order`: the
/// integral over step `step` of the Lagrange polynomial in sigma through the last `order` points.
double adams_weight(const PlanDetails& plan, int64_t step, int64_t order, int64_t back);

/// Appends `output` to the history's tensors and keeps the last `count`.
void remember(History& history, Tensor output, int64_t count);

}  // namespace sdrbee::sampling
