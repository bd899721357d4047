#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {

/// DPM-Solver++(3M) SDE as k-diffusion defines it after Lu et al. 2022, arXiv:2211.01095: a
/// multistep method over three clean estimates with `eta` times the noise of the reverse SDE. Like
/// its authors' code it takes half of the second derivative's term (docs/numerics.md). The last
/// step takes the clean estimate.
Step dpmpp_3m_sde_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const auto sigma = [&](int64_t ago) {
    return static_cast<double>(plan.point(context.step - ago));
  };
  const float here = plan.point(context.step);
  Evaluation evaluation = evaluation_at(plan, x, here, plan.timestep(context.step));
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  remember(history, clean_at(plan, p.raw, x, here), 3);
  ++history.count;
  const std::vector<Tensor>& known = history.tensors;
  const Tensor& clean = known.back();
  if (sigma(-1) == 0) co_return clean;

  const double h = std::log(sigma(0) / sigma(-1));
  const double a = h * (plan.eta + 1);
  x = x * std::exp(-a) - clean * std::expm1(-a);
  const double phi_2 = std::expm1(-a) / a + 1;
  if (known.size() > 1) {
    const double r0 = std::log(sigma(1) / sigma(0)) / h;
    const Tensor d0 = (clean - known[known.size() - 2]) * (1 / r0);
    x = x + d0 * phi_2;
    if (known.size() > 2) {
      const double r1 = std::log(sigma(2) / sigma(1)) / h;
      const Tensor bend = (d0 - (known[1] - known[0]) * (1 / r1)) * (1 / (r0 + r1));
      x = x + bend * (r0 * phi_2 - (phi_2 / a - 0.5));
    }
  }
  if (plan.eta == 0) co_return x;
  co_return x + draw_noise(context, x) *
                    (plan.s_noise * sigma(-1) * std::sqrt(-std::expm1(-2 * h * plan.eta)));
}

}  // namespace sdrbee::sampling
