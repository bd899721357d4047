#include <algorithm>
#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// The noise scale phi of the extended reverse-time SDE that its authors choose.
double phi(double lambda) { return lambda * (std::exp(std::pow(lambda, 0.3)) + 10); }

/// Integrals over a step of 1 / phi and of (lambda - from) / phi, as rectangle sums of 200 points.
struct Integrals {
  double weight = 0;
  double moment = 0;
};

Integrals integrals(double from, double to) {
  constexpr int kPoints = 200;
  const double width = (from - to) / kPoints;
  Integrals sums;
  for (int i = 0; i < kPoints; ++i) {
    const double lambda = to + i * width;
    sums.weight += width / phi(lambda);
    sums.moment += width * (lambda - from) / phi(lambda);
  }
  return sums;
}

/// Noise-to-signal ratio at a point of the plan. Pure noise of a flow model would be infinite: the
/// ratio of a sigma a little below 1 stands for it.
double ratio(const PlanDetails& plan, int64_t point) {
  constexpr double kMost = 0.9999;
  const double sigma = plan.point(point);
  if (!plan.is_flow()) return sigma;
  const double below = std::min(sigma, kMost);
  return below / (1 - below);
}

}  // namespace

/// ER-SDE-Solver-3 (Cui et al. 2023, arXiv:2309.06169) on the clean estimate. The last step takes
/// that estimate.
Step er_sde_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const float sigma = plan.point(context.step);
  const float next = plan.point(context.step + 1);
  Evaluation evaluation = evaluation_at(plan, x, sigma, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  remember(history, clean_at(plan, p.raw, x, sigma), 3);
  ++history.count;
  const std::vector<Tensor>& known = history.tensors;
  const Tensor& clean = known.back();
  if (next == 0) co_return clean;

  const auto lambda = [&](int64_t ago) { return ratio(plan, context.step - ago); };
  const double from = lambda(0);
  const double to = lambda(-1);
  const double alpha = plan.is_flow() ? 1 - next : 1;
  const double r = phi(to) / phi(from);
  // Flow latents are the exploding ones times 1 - sigma, whose ratio is that of sigma over lambda.
  const double rescaled = plan.is_flow() ? (next / to) / (sigma / from) : 1;
  x = x * (rescaled * r) + clean * (alpha * (1 - r));
  if (known.size() > 1) {
    const double step = to - from;
    const Integrals sums = integrals(from, to);
    const Tensor slope = (clean - known[known.size() - 2]) * (1 / (from - lambda(1)));
    x = x + slope * (alpha * (step + sums.weight * phi(to)));
    if (known.size() > 2) {
      const Tensor before = (known[1] - known[0]) * (1 / (lambda(1) - lambda(2)));
      const Tensor bend = (slope - before) * (2 / (from - lambda(2)));
      x = x + bend * (alpha * (step * step / 2 + sums.moment * phi(to)));
    }
  }
  const double variance = std::max(0.0, to * to - from * from * r * r);
  co_return x + draw_noise(context, x) * (plan.s_noise * alpha * std::sqrt(variance));
}

}  // namespace sdrbee::sampling
