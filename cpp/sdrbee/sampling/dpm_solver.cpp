#include <ATen/ops/clamp_min.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/maximum.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// A step of DPM-Solver (Lu et al. 2022, arXiv:2206.00927) from `x`, whose noise is `noise`, over
/// `h` in t = -log sigma; `sigma` is that of its beginning.
struct Way {
  const Tensor& x;
  const Tensor& noise;
  double sigma;
  double h;

  double sigma_at(double part) const { return sigma * std::exp(-part * h); }

  /// DPM-Solver-1 over a part of the way.
  Tensor first_order(double part) const {
    return x - noise * (sigma_at(part) * std::expm1(part * h));
  }

  /// DPM-Solver-2 over all of it: `change` of the noise at part `r` of the way.
  Tensor second_order(double r, const Tensor& change) const {
    return first_order(1) - change * (sigma_at(1) / (2 * r) * std::expm1(h));
  }

  /// DPM-Solver-3 over a part of the way, with the change at part `r`.
  Tensor third_order(double part, double r, const Tensor& change) const {
    const double a = part * h;
    return first_order(part) - change * (sigma_at(part) * part / r * (std::expm1(a) / a - 1));
  }
};

/// Where the evaluations inside a step lie.
constexpr std::array<double, 2> kThirds = {1.0 / 3, 2.0 / 3};

Tensor noise_at(const PlanDetails& plan, const Prediction& p, const Tensor& x, float sigma) {
  return (x - clean_at(plan, p.raw, x, sigma)) / sigma;
}

}  // namespace

std::span<const double> inner_parts(int64_t order) {
  static constexpr std::array<double, 1> kHalf = {0.5};
  if (order == 1) return {};
  if (order == 2) return kHalf;
  return kThirds;
}

/// DPM-Solver-fast: steps of order 3, and of 2 and 1 at the end so that the evaluations add up.
Step dpm_fast_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const int64_t index = plan.first_evaluation(context.step);
  const int64_t order = plan.first_evaluation(context.step + 1) - index;
  const float sigma = plan.point(context.step);
  const AncestralSpread spread =
      ancestral_spread_above(sigma, plan.point(context.step + 1), plan.points.back(), plan.eta);
  const auto inner = [&](int64_t stage) { return plan.sigmas[static_cast<size_t>(index + stage)]; };

  Evaluation first = evaluation_at(plan, x, sigma, plan.timestep(index));
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  const Tensor noise = noise_at(plan, p, x, sigma);
  const Way way{x, noise, sigma, std::log(static_cast<double>(sigma) / spread.down)};
  ++history.count;
  Tensor next;
  if (order == 1) next = way.first_order(1);
  Tensor change;
  for (int64_t stage = 1; stage < order; ++stage) {
    const double part = inner_parts(order)[static_cast<size_t>(stage - 1)];
    Tensor at = stage == 1 ? way.first_order(part) : way.third_order(part, kThirds[0], change);
    at = constrained(context, std::move(at), index + stage);
    Evaluation evaluation = evaluation_at(plan, at, inner(stage), plan.timestep(index + stage));
    const Prediction q = co_await EvaluationAwaiter(std::move(evaluation));
    change = noise_at(plan, q, at, inner(stage)) - noise;
  }
  if (order == 2) next = way.second_order(inner_parts(2)[0], change);
  if (order == 3) next = way.third_order(1, kThirds[1], change);
  if (plan.eta > 0) next = next + draw_noise(context, x) * (plan.s_noise * spread.up);
  co_return next;
}

/// DPM-Solver-23 with k-diffusion's tolerances and integral step size control: one attempt, which
/// is taken when the solutions of order 2 and 3 agree, and else made again with a shorter step.
Step dpm_adaptive_step(StepContext context, Tensor x, History& history) {
  constexpr double kRelative = 0.05;
  constexpr double kAbsolute = 0.0078;
  constexpr double kFirstLength = 0.05;
  constexpr double kAcceptedFactor = 0.81;
  constexpr double kClose = 1e-5;
  const PlanDetails& plan = context.plan.details();
  const double start = -std::log(static_cast<double>(plan.point(0)));
  const double end = -std::log(static_cast<double>(plan.point(1)));
  if (history.scalars.empty()) {
    history.scalars = {start, kFirstLength};
    history.tensors = {x};
  }
  const double from = history.scalars[0];
  const double to = std::min(end, from + history.scalars[1]);
  const auto sigma = static_cast<float>(std::exp(-from));
  const AncestralSpread spread =
      ancestral_spread_above(std::exp(-from), std::exp(-to), plan.point(1), plan.eta);
  ++history.count;

  Evaluation first = evaluation_at(plan, x, sigma, plan.training.timestep_of(sigma));
  const Prediction p = co_await EvaluationAwaiter(std::move(first));
  const Tensor noise = noise_at(plan, p, x, sigma);
  const Way way{x, noise, std::exp(-from), -from - std::log(static_cast<double>(spread.down))};
  std::array<Tensor, 2> changes;
  for (size_t stage = 0; stage < changes.size(); ++stage) {
    const double part = kThirds[stage];
    const auto inner = static_cast<float>(way.sigma_at(part));
    Tensor at = stage == 0 ? way.first_order(part) : way.third_order(part, kThirds[0], changes[0]);
    at = constrained(context, std::move(at), NoiseLevel{.index = 0, .sigma = inner});
    Evaluation evaluation = evaluation_at(plan, at, inner, plan.training.timestep_of(inner));
    const Prediction q = co_await EvaluationAwaiter(std::move(evaluation));
    changes[stage] = noise_at(plan, q, at, inner) - noise;
  }
  const Tensor low = way.second_order(kThirds[0], changes[0]);
  const Tensor high = way.third_order(1, kThirds[1], changes[1]);
  const Tensor tolerance =
      at::clamp_min(at::maximum(low.abs(), history.tensors[0].abs()) * kRelative, kAbsolute);
  const double error = at::linalg_vector_norm((low - high) / tolerance).item<double>() /
                       std::sqrt(static_cast<double>(x.numel()));
  if (!std::isfinite(error))
    throw InternalError("[dpm_adaptive] the network's output is not finite; choose fp32 or bf16");
  const double factor =
      1 + std::atan(std::pow(1 / (error + 1e-8), 1 / (plan.eta > 0 ? 1.5 : 3.0)) - 1);
  history.scalars[1] *= factor;
  if (factor < kAcceptedFactor) co_return x;

  history.scalars[0] = to;
  history.progress = to >= end - kClose ? 1 : (to - start) / (end - start);
  history.tensors[0] = low;
  if (plan.eta > 0) co_return high + draw_noise(context, x) * (plan.s_noise * spread.up);
  co_return high;
}

}  // namespace sdrbee::sampling
