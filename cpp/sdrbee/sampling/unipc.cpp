#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

constexpr int64_t kMaxOrder = 3;
using Row = std::array<double, kMaxOrder>;

/// One application of UniPC: from point `from` to the next one with the outputs at and before
/// `from`, newest last.
struct UniPcInterval {
  int64_t from;
  int64_t order;
  std::span<const Tensor> outputs;
};

/// The system of UniPC's coefficients (Zhao et al. 2023, arXiv:2302.04867, eq. 5 and 6).
struct System {
  std::array<Row, kMaxOrder> powers{};  ///< R
  Row phis{};                           ///< b
  Row ratios{};                         ///< r, the last one is 1
  float growth = 0;                     ///< h phi_1(h)
  float scale = 0;                      ///< B(h)
};

System make_system(const PlanDetails& plan, const UniPcInterval& interval) {
  const float here = log_ratio(plan, interval.from).lambda;
  const float h = log_ratio(plan, interval.from + 1).lambda - here;
  const float hh = plan.config.predict_x0 ? -h : h;
  System system;
  system.growth = std::expm1(hh);
  system.scale = *plan.config.solver_type == "bh1" ? hh : system.growth;
  const auto order = static_cast<size_t>(interval.order);
  for (size_t i = 0; i + 1 < order; ++i) {
    const int64_t back = interval.from - 1 - static_cast<int64_t>(i);
    system.ratios[i] = (log_ratio(plan, back).lambda - here) / h;
  }
  system.ratios[order - 1] = 1;
  double phi = static_cast<double>(system.growth) / hh - 1;
  double factorial = 1;
  for (size_t i = 0; i < order; ++i) {
    for (size_t j = 0; j < order; ++j)
      system.powers[i][j] = std::pow(system.ratios[j], static_cast<double>(i));
    system.phis[i] = phi * factorial / system.scale;
    factorial *= static_cast<double>(i + 2);
    phi = phi / hh - 1 / factorial;
  }
  return system;
}

/// Solves the leading `size` equations by elimination with row exchanges.
Row solve(const System& system, int64_t size) {
  auto a = system.powers;
  Row b = system.phis;
  const auto n = static_cast<size_t>(size);
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i)
      if (std::abs(a[i][k]) > std::abs(a[pivot][k])) pivot = i;
    std::swap(a[k], a[pivot]);
    std::swap(b[k], b[pivot]);
    for (size_t i = k + 1; i < n; ++i) {
      const double factor = a[i][k] / a[k][k];
      for (size_t j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
      b[i] -= factor * b[k];
    }
  }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) b[k] -= a[k][j] * b[j];
    b[k] /= a[k][k];
  }
  return b;
}

/// The transfer over an interval. `arrived` is the output at its end for the corrector, undefined
/// for the predictor.
Tensor transfer(const PlanDetails& plan, const Tensor& x, const UniPcInterval& interval,
                const Tensor& arrived) {
  const System system = make_system(plan, interval);
  const bool corrects = arrived.defined();
  const int64_t order = interval.order;
  Row rhos{};
  if (corrects && order == 1)
    rhos[0] = 0.5;
  else if (corrects)
    rhos = solve(system, order);
  else if (order == 2)
    rhos[0] = 0.5;
  else if (order > 2)
    rhos = solve(system, order - 1);

  const Tensor& newest = interval.outputs.back();
  Tensor residual;
  const auto add = [&](const Tensor& term) {
    residual = residual.defined() ? residual + term : term;
  };
  for (int64_t i = 0; i + 1 < order; ++i) {
    const auto k = static_cast<size_t>(i);
    const Tensor& older = interval.outputs[interval.outputs.size() - 2 - k];
    add((older - newest) / system.ratios[k] * rhos[k]);
  }
  if (corrects) add((arrived - newest) * rhos[static_cast<size_t>(order - 1)]);

  const LogRatio from = log_ratio(plan, interval.from);
  const LogRatio to = log_ratio(plan, interval.from + 1);
  const bool clean = plan.config.predict_x0;
  const float keep = clean ? to.sigma / from.sigma : to.alpha / from.alpha;
  const float move = clean ? to.alpha : to.sigma;
  const Tensor base = x * keep - newest * (move * system.growth);
  return residual.defined() ? base - residual * (move * system.scale) : base;
}

Tensor converted(const PlanDetails& plan, const Tensor& raw, const Tensor& x, Mix mix) {
  if (!plan.config.predict_x0) return noise_from(plan.prediction_type, raw, x, mix);
  Tensor clean = clean_from(plan.prediction_type, raw, x, mix);
  return plan.config.thresholding ? clipped(plan.config, std::move(clean)) : clean;
}

bool corrects(const PlanDetails& plan, int64_t step, const History& history) {
  const auto& off = plan.config.disable_corrector;
  return history.count > 0 && std::find(off.begin(), off.end(), step - 1) == off.end();
}

}  // namespace

/// UniPC with B1 or B2: corrects the arrival of the last step with the new output, then predicts.
Step unipc_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const int64_t step = context.step;
  const LogRatio here = log_ratio(plan, step);
  const Mix mix{here.alpha, here.sigma};
  Evaluation evaluation{x, plan.timestep(step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor output = converted(plan, p.raw, x, mix);

  std::vector<Tensor> outputs;
  if (history.count > 0) outputs.assign(history.tensors.begin() + 1, history.tensors.end());
  if (corrects(plan, step, history)) {
    const auto order = static_cast<int64_t>(history.scalars.front());
    x = transfer(plan, history.tensors.front(), {step - 1, order, outputs}, output);
  }
  const int64_t wanted = *plan.config.solver_order;
  outputs.push_back(output);
  if (static_cast<int64_t>(outputs.size()) > wanted) outputs.erase(outputs.begin());
  const int64_t room = *plan.config.lower_order_final ? plan.steps - step : wanted;
  const int64_t order = std::min({wanted, room, history.count + 1});
  Tensor next = transfer(plan, x, {step, order, outputs}, {});

  history.tensors = std::move(outputs);
  history.tensors.insert(history.tensors.begin(), x);
  history.scalars = {static_cast<double>(order)};
  ++history.count;
  co_return next;
}

}  // namespace sdrbee::sampling
