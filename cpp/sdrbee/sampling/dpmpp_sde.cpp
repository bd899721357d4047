#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// One stage of DPM-Solver++ with noise: from `x` at time `from` to the ancestral part of `to`
/// (times are -log sigma), with the scale of the noise that is still to be added.
struct Stage {
  Tensor latents;
  float noise_scale;
};

Stage stage(const Tensor& x, const Tensor& clean, float from, float to) {
  const float sigma_from = std::exp(-from);
  const AncestralSpread spread = ancestral_spread(sigma_from, std::exp(-to));
  const float ancestral = -std::log(spread.down);
  return {x * (std::exp(-ancestral) / sigma_from) - clean * std::expm1(from - ancestral),
          spread.up};
}

}  // namespace

/// DPM-Solver++ SDE (Lu et al. 2022, arXiv:2211.01095) as k-diffusion and diffusers write it. Its
/// noise is a Brownian path over sigma; here the increments over the two halves of step k are the
/// noises 2k and 2k + 1 of the seed, so that neither resuming nor batching changes them.
Step dpmpp_sde_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const int64_t index = 2 * context.step;
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);

  Evaluation first = exploding_evaluation(x, sigma, plan.timestep(index));
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  const Tensor clean = clean_from_exploding(plan.prediction_type, p.raw, x, sigma);
  ++history.count;
  if (next == 0) co_return x + (x - clean) / sigma*(next - sigma);

  const auto noise = [&](int64_t half) {
    const auto draw = static_cast<uint64_t>(index + half);
    return context.noise.normal_at(x.sizes(), draw).to(x.device()) * plan.s_noise;
  };
  const float inner = plan.midpoints[static_cast<size_t>(context.step)];
  const float from = -std::log(sigma);
  const float to = -std::log(next);
  const float middle = from + (to - from) * 0.5F;
  const Tensor first_noise = noise(0);
  Stage half = stage(x, clean, from, middle);
  Tensor halfway = half.latents + first_noise * half.noise_scale;

  halfway = constrained(context, std::move(halfway), index + 1);
  Evaluation second = exploding_evaluation(halfway, inner, plan.timestep(index + 1));
  const Prediction q = co_await EvaluationAwaiter(std::move(second));
  const Tensor inner_clean = clean_from_exploding(plan.prediction_type, q.raw, halfway, inner);
  const Stage whole = stage(x, inner_clean, from, to);
  const float first_share = std::sqrt((sigma - inner) / (sigma - next));
  const float second_share = std::sqrt((inner - next) / (sigma - next));
  const Tensor path = first_noise * first_share + noise(1) * second_share;
  co_return whole.latents + path* whole.noise_scale;
}

}  // namespace sdrbee::sampling
