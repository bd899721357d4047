#include <algorithm>
#include <cmath>
#include <vector>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// tau, the share of the reverse SDE's noise in a step, as diffusers has it: none near both ends.
double tau_of(const PlanDetails& plan, int64_t step) {
  constexpr double kFirst = 200;
  constexpr double kLast = 800;
  const double timestep = plan.timestep(step);
  return timestep >= kFirst && timestep <= kLast ? plan.eta : 0;
}

double lambda(const PlanDetails& plan, int64_t point) {
  const double sigma = plan.point(point);
  return (plan.is_flow() ? std::log(1 - sigma) : 0) - std::log(sigma);
}

/// The polynomial in u that is 1 at `nodes[own]` and 0 at the other ones, lowest power first.
std::vector<double> lagrange(const std::vector<double>& nodes, size_t own) {
  std::vector<double> polynomial = {1};
  for (size_t k = 0; k < nodes.size(); ++k) {
    if (k == own) continue;
    const double scale = 1 / (nodes[own] - nodes[k]);
    polynomial.push_back(0);
    for (size_t power = polynomial.size(); power-- > 0;)
      polynomial[power] =
          ((power > 0 ? polynomial[power - 1] : 0) - nodes[k] * polynomial[power]) * scale;
  }
  return polynomial;
}

/// Integrals of a exp(a u) u^k over -h..0 for k below `count`.
std::vector<double> exponential_integrals(double a, double h, size_t count) {
  std::vector<double> integrals;
  double border = -std::exp(-a * h);  // the lower end's u^k exp(a u), negative
  for (size_t k = 0; k < count; ++k) {
    const double upper = k == 0 ? 1 : 0;
    const double lower_power = k == 0 ? 0 : static_cast<double>(k) / a * integrals.back();
    integrals.push_back(upper + border - lower_power);
    border *= -h;
  }
  return integrals;
}

/// One application of SA-Solver: from the point `from` to the next one with the clean estimates at
/// `newest` and at the points before it.
struct Interval {
  int64_t from;
  int64_t newest;  ///< from for the predictor, from + 1 for the corrector
  int64_t order;
  double tau;
};

/// The weights of the estimates, newest first (Xue et al. 2023, arXiv:2309.05019, eq. 15 and 18),
/// with the change that the authors make for order 2 (appendix D).
std::vector<double> weights(const PlanDetails& plan, const Interval& interval) {
  const double end = lambda(plan, interval.from + 1);
  const double h = end - lambda(plan, interval.from);
  const double a = 1 + interval.tau * interval.tau;
  std::vector<double> nodes;
  for (int64_t back = 0; back < interval.order; ++back)
    nodes.push_back(lambda(plan, interval.newest - back) - end);
  const std::vector<double> integrals = exponential_integrals(a, h, nodes.size());
  std::vector<double> result;
  for (size_t own = 0; own < nodes.size(); ++own) {
    const std::vector<double> polynomial = lagrange(nodes, own);
    double weight = 0;
    for (size_t power = 0; power < polynomial.size(); ++power)
      weight += polynomial[power] * integrals[power];
    result.push_back(weight);
  }
  if (interval.order == 2) {
    const bool corrects = interval.newest > interval.from;
    const double exact = (h * a - 1 + std::exp(-a * h)) / (a * a);
    const double change =
        corrects ? h / 2 - exact / h : (h * h / 2 - exact) / (nodes[0] - nodes[1]);
    result[0] += a * change;
    result[1] -= a * change;
  }
  const double alpha = plan.is_flow()
                           ? 1 - plan.point(interval.from + 1)
                           : variance_preserving_mix(plan.point(interval.from + 1)).alpha;
  for (double& weight : result) weight *= alpha;
  return result;
}

/// The sample at the end of the interval; `estimates` are newest last.
Tensor solve(const PlanDetails& plan, const Interval& interval, const Tensor& x,
             const Tensor& noise, std::span<const Tensor> estimates) {
  const LogRatio from = log_ratio(plan, interval.from);
  const LogRatio to = log_ratio(plan, interval.from + 1);
  const double h = lambda(plan, interval.from + 1) - lambda(plan, interval.from);
  const double tau2 = interval.tau * interval.tau;
  Tensor next = x * (std::exp(-tau2 * h) * to.sigma / from.sigma);
  const std::vector<double> all = weights(plan, interval);
  for (size_t back = 0; back < all.size(); ++back)
    next = next + estimates[estimates.size() - 1 - back] * all[back];
  return next + noise * (to.sigma * std::sqrt(1 - std::exp(-2 * tau2 * h)));
}

}  // namespace

/// SA-Solver on the clean estimate: each step corrects the sample that the one before predicted,
/// with that step's noise, and predicts the next one.
Step sa_solver_step(StepContext context, Tensor x, History& history) {
  constexpr size_t kEstimates = 2;  // where they begin in the history's tensors
  const PlanDetails& plan = context.plan.details();
  const int64_t step = context.step;
  const LogRatio here = log_ratio(plan, step);
  const Mix mix{here.alpha, here.sigma};
  Evaluation evaluation{x, plan.timestep(step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  Tensor clean = clean_from(plan.prediction_type, p.raw, x, mix);
  if (plan.config.thresholding) clean = clipped(plan.config, std::move(clean));

  std::vector<Tensor> estimates;
  if (!history.tensors.empty())
    estimates.assign(history.tensors.begin() + kEstimates, history.tensors.end());
  estimates.push_back(clean);
  if (!history.scalars.empty()) {
    const auto order = static_cast<int64_t>(history.scalars.front());
    const Interval corrected{step - 1, step, order, tau_of(plan, step - 1)};
    x = solve(plan, corrected, history.tensors[0], history.tensors[1], estimates);
  }
  const int64_t predictor = *plan.config.predictor_order;
  const int64_t corrector = *plan.config.corrector_order;
  const int64_t most = std::max(predictor, corrector - 1);
  if (std::ssize(estimates) > most) estimates.erase(estimates.begin());

  const int64_t left = *plan.config.lower_order_final ? plan.steps - step : plan.steps;
  const int64_t known = std::min(history.count, most);
  const Tensor noise = draw_noise(context, x) * plan.s_noise;
  const Interval predicted{step, step, std::min({predictor, left, known + 1}), tau_of(plan, step)};
  const Tensor next = solve(plan, predicted, x, noise, estimates);
  history.scalars = {static_cast<double>(std::min({corrector, left + 1, known + 2}))};
  history.tensors = {x, noise};
  history.tensors.insert(history.tensors.end(), estimates.begin(), estimates.end());
  ++history.count;
  co_return next;
}

}  // namespace sdrbee::sampling
