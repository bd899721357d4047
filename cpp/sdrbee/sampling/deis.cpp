#include <algorithm>
#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// Integrals of the Lagrange polynomials in log rho over rho (Zhang & Chen 2022, arXiv:2204.13902,
/// eq. 15): antiderivatives at `t` for the polynomial that is 1 at `b` and 0 at the others.
float line_integral(float t, float b, float c) {
  return t * (-std::log(c) + std::log(t) - 1) / (std::log(b) - std::log(c));
}

float parabola_integral(float t, float b, float c, float d) {
  const float lt = std::log(t);
  const float lc = std::log(c);
  const float ld = std::log(d);
  const float numerator = t * (lc * (ld - lt + 1) - ld * lt + ld + lt * lt - 2 * lt + 2);
  return numerator / ((std::log(b) - lc) * (std::log(b) - ld));
}

float rho(const LogRatio& point) { return point.sigma / point.alpha; }

Tensor first_order(const PlanDetails& plan, const Tensor& x, const Tensor& noise, int64_t step) {
  const LogRatio to = log_ratio(plan, step + 1);
  const LogRatio from = log_ratio(plan, step);
  const float h = to.lambda - from.lambda;
  return x * (to.alpha / from.alpha) - noise * (to.sigma * (std::exp(h) - 1));
}

Tensor second_order(const PlanDetails& plan, const Tensor& x, const std::vector<Tensor>& noises,
                    int64_t step) {
  const LogRatio to = log_ratio(plan, step + 1);
  const LogRatio from = log_ratio(plan, step);
  const float t = rho(to);
  const float s0 = rho(from);
  const float s1 = rho(log_ratio(plan, step - 1));
  const size_t last = noises.size() - 1;
  const float c0 = line_integral(t, s0, s1) - line_integral(s0, s0, s1);
  const float c1 = line_integral(t, s1, s0) - line_integral(s0, s1, s0);
  return (x / from.alpha + noises[last] * c0 + noises[last - 1] * c1) * to.alpha;
}

Tensor third_order(const PlanDetails& plan, const Tensor& x, const std::vector<Tensor>& noises,
                   int64_t step) {
  const LogRatio to = log_ratio(plan, step + 1);
  const LogRatio from = log_ratio(plan, step);
  const float t = rho(to);
  const float s0 = rho(from);
  const float s1 = rho(log_ratio(plan, step - 1));
  const float s2 = rho(log_ratio(plan, step - 2));
  const size_t last = noises.size() - 1;
  const auto integral = [&](float b, float c, float d) {
    return parabola_integral(t, b, c, d) - parabola_integral(s0, b, c, d);
  };
  return (x / from.alpha + noises[last] * integral(s0, s1, s2) +
          noises[last - 1] * integral(s1, s2, s0) + noises[last - 2] * integral(s2, s0, s1)) *
         to.alpha;
}

}  // namespace

/// DEIS in log rho, of order 1 to 3.
Step deis_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const LogRatio here = log_ratio(plan, context.step);
  const Mix mix{here.alpha, here.sigma};
  Evaluation evaluation{x, plan.timestep(context.step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  Tensor clean = clean_from(plan.prediction_type, p.raw, x, mix);
  if (plan.config.thresholding) clean = clipped(plan.config, std::move(clean));
  const int64_t order = *plan.config.solver_order;
  remember(history, (x - clean * mix.alpha) / mix.sigma, order);

  constexpr int64_t kFewSteps = 15;
  const bool lower = *plan.config.lower_order_final && plan.steps < kFewSteps;
  const int64_t left = plan.steps - context.step;
  const int64_t usable = std::min({order, history.count + 1, lower ? left : order});
  ++history.count;
  if (usable == 1) co_return first_order(plan, x, history.tensors.back(), context.step);
  if (usable == 2) co_return second_order(plan, x, history.tensors, context.step);
  co_return third_order(plan, x, history.tensors, context.step);
}

}  // namespace sdrbee::sampling
