#include <algorithm>
#include <cmath>

#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

/// The four algorithms: DPM-Solver (Lu et al. 2022, arXiv:2206.00927) works on the noise,
/// DPM-Solver++ (arXiv:2211.01095) on the clean sample; both with or without new noise.
struct Algorithm {
  bool plus_plus;
  bool sde;
  bool heun;  ///< solver type; midpoint otherwise
};

Algorithm algorithm_of(const SchedulerConfig& config) {
  return {config.algorithm_type->ends_with("++"), config.algorithm_type->starts_with("sde-"),
          *config.solver_type == "heun"};
}

/// The output that the solver works on.
Tensor converted(const PlanDetails& plan, const Algorithm& algorithm, const Tensor& raw,
                 const Tensor& x, Mix mix) {
  if (algorithm.plus_plus) {
    Tensor clean = clean_from(plan.prediction_type, raw, x, mix);
    return plan.config.thresholding ? clipped(plan.config, std::move(clean)) : clean;
  }
  const Tensor noise = noise_from(plan.prediction_type, raw, x, mix);
  if (!plan.config.thresholding) return noise;
  const Tensor clean = clipped(plan.config, (x - noise * mix.sigma) / mix.alpha);
  return (x - clean * mix.alpha) / mix.sigma;
}

/// Weights of the sample, of the output and of its first two differences, and of the noise.
struct Weights {
  float sample, output, first, second, noise;
};

/// The exponential integrator over a step of log-ratio length h; `a` is the weight's exponent:
/// e^a - 1 and its higher phi functions give all four algorithms.
Weights weights(const Algorithm& algorithm, const LogRatio& from, const LogRatio& to, bool third) {
  const float h = to.lambda - from.lambda;
  const float a = (algorithm.sde ? 2 : 1) * (algorithm.plus_plus ? -h : h);
  Weights w{};
  if (algorithm.plus_plus) {
    const float growth = algorithm.sde ? 1 - std::exp(-2 * h) : -(std::exp(-h) - 1);
    w.sample = algorithm.sde ? to.sigma / from.sigma * std::exp(-h) : to.sigma / from.sigma;
    w.output = to.alpha * growth;
    w.noise = to.sigma * std::sqrt(1 - std::exp(-2 * h));
    w.first = algorithm.heun || third ? to.alpha * (growth / a + 1) : 0.5F * w.output;
    w.second = algorithm.sde ? to.alpha * ((growth + a) / (a * a) - 0.5F)
                             : -to.alpha * ((-growth + h) / (h * h) - 0.5F);
    return w;
  }
  const float growth = std::exp(h) - 1;
  const float scale = algorithm.sde ? 2 : 1;
  w.sample = to.alpha / from.alpha;
  w.output = -scale * (to.sigma * growth);
  w.noise = to.sigma * std::sqrt(std::exp(2 * h) - 1);
  w.first = algorithm.heun || third ? -scale * (to.sigma * (growth / h - 1)) : 0.5F * w.output;
  w.second = -(to.sigma * ((growth - h) / (h * h) - 0.5F));
  return w;
}

/// The order that diffusers uses in a step: low at the beginning, and at the end where the last
/// sigma is 0 or the steps are few.
int64_t usable_order(const PlanDetails& plan, int64_t step, int64_t count) {
  constexpr int64_t kFewSteps = 15;
  const SchedulerConfig& config = plan.config;
  const int64_t order = std::min(*config.solver_order, count + 1);
  const bool few = *config.lower_order_final && plan.steps < kFewSteps;
  if (step + 1 == plan.steps &&
      (config.euler_at_final || few || *config.final_sigmas_type == "zero"))
    return 1;
  if (step + 2 == plan.steps && few) return std::min<int64_t>(order, 2);
  return order;
}

/// The differences of the remembered outputs, scaled to the step.
struct Differences {
  Tensor first, second;
};

Differences differences(const PlanDetails& plan, const std::vector<Tensor>& outputs, int64_t step,
                        int64_t order) {
  const float here = log_ratio(plan, step).lambda;
  const float before = log_ratio(plan, step - 1).lambda;
  const float h = log_ratio(plan, step + 1).lambda - here;
  const float r0 = (here - before) / h;
  const size_t last = outputs.size() - 1;
  const Tensor d0 = (outputs[last] - outputs[last - 1]) * (1 / r0);
  if (order == 2) return {d0, {}};
  const float r1 = (before - log_ratio(plan, step - 2).lambda) / h;
  const Tensor d1 = (outputs[last - 1] - outputs[last - 2]) * (1 / r1);
  return {d0 + (d0 - d1) * (r0 / (r0 + r1)), (d0 - d1) * (1 / (r0 + r1))};
}

}  // namespace

/// Multistep DPM-Solver and DPM-Solver++ of order 1 to 3, with noise for the sde algorithms.
Step dpmpp_2m_step(StepContext context, Tensor x, History& history) {
  const PlanDetails& plan = context.plan.details();
  const Algorithm algorithm = algorithm_of(plan.config);
  const LogRatio from = log_ratio(plan, context.step);
  const LogRatio to = log_ratio(plan, context.step + 1);
  const Mix mix{from.alpha, from.sigma};
  Evaluation evaluation{x, plan.timestep(context.step), mix};
  const Prediction p = co_await EvaluationAwaiter(std::move(evaluation));
  const Tensor output = converted(plan, algorithm, p.raw, x, mix);
  remember(history, output, *plan.config.solver_order);
  Tensor noise;
  if (algorithm.sde) noise = draw_noise(context, x);

  const int64_t order = usable_order(plan, context.step, history.count);
  ++history.count;
  const Weights w = weights(algorithm, from, to, order == 3);
  Tensor next = x * w.sample + output * w.output;
  if (order > 1) {
    const Differences d = differences(plan, history.tensors, context.step, order);
    next = next + d.first * w.first;
    if (order == 3) next = next + d.second * w.second;
  }
  if (algorithm.sde) next = next + noise * w.noise;
  co_return next;
}

}  // namespace sdrbee::sampling
