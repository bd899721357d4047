#include <cmath>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/grid.h"

namespace sdrbee::sampling {
namespace {

template <typename Real>
Real shifted(Real sigma, Real shift) {
  return shift * sigma / (1 + (shift - 1) * sigma);
}

/// The shift by `mu` that depends on the picture's size (Esser et al. 2024, arXiv:2403.03206,
/// section 5.3.2).
template <typename Real>
Real dynamically_shifted(Real sigma, double mu, const std::string& type) {
  const auto m = static_cast<Real>(type == "linear" ? mu : std::exp(mu));
  return m / (m + (1 / sigma - 1));
}

/// Shift and terminal stretch; own sigmas go through it in fp32, diffusers' own in fp64.
template <typename Real>
std::vector<double> finished(const PlanDetails& plan, const SamplerOptions& options,
                             std::vector<Real> sigmas) {
  const SchedulerConfig& config = plan.config;
  for (Real& s : sigmas) {
    s = config.use_dynamic_shifting ? dynamically_shifted(s, *options.mu, config.time_shift_type)
                                    : shifted(s, static_cast<Real>(*config.shift));
  }
  const auto terminal = static_cast<Real>(config.shift_terminal.value_or(0));
  if (terminal != 0) {
    const Real scale = (1 - sigmas.back()) / (1 - terminal);
    for (Real& s : sigmas) s = 1 - (1 - s) / scale;
  }
  return {sigmas.begin(), sigmas.end()};
}

/// The rising sigmas of the training timesteps, as FlowMatchEulerDiscreteScheduler has them.
std::vector<float> training_sigmas(const PlanDetails& plan) {
  std::vector<float> sigmas;
  const auto count = static_cast<float>(plan.train_steps());
  const auto shift = static_cast<float>(*plan.config.shift);
  const auto shift_minus_one = static_cast<float>(*plan.config.shift - 1);
  for (int64_t t = 1; t <= plan.train_steps(); ++t) {
    const float sigma = static_cast<float>(t) / count;
    sigmas.push_back(
        plan.config.use_dynamic_shifting ? sigma : shift * sigma / (1 + shift_minus_one * sigma));
  }
  return sigmas;
}

std::vector<float> to_float(const std::vector<double>& values) {
  std::vector<float> rounded;
  for (const double value : values) rounded.push_back(static_cast<float>(value));
  return rounded;
}

/// simple, ddim_uniform and sgm_uniform after ComfyUI's definitions over the training sigmas.
std::vector<double> table_sigmas(const PlanDetails& plan, const std::vector<float>& table,
                                 int64_t steps) {
  std::vector<double> sigmas;
  if (plan.schedule == "linear_quadratic") {
    sigmas = linear_quadratic_shares(steps);
    for (double& s : sigmas) s *= table.back();
    return sigmas;
  }
  if (plan.schedule == "sgm_uniform") {
    const double shift = *plan.config.shift;
    sigmas = linspace(table.back(), table.front(), steps + 1);
    sigmas.pop_back();
    for (double& s : sigmas)
      if (!plan.config.use_dynamic_shifting) s = shifted(s, shift);
    return sigmas;
  }
  for (const int64_t entry :
       table_entries(plan.schedule, static_cast<int64_t>(table.size()), steps))
    sigmas.push_back(table[static_cast<size_t>(entry)]);
  return sigmas;
}

/// FlowMatchEuler's grid. The scheduler's own ends are already shifted and are shifted again.
std::vector<double> flow_match_sigmas(const PlanDetails& plan, const SamplerOptions& options,
                                      int64_t steps) {
  const std::vector<float> table = training_sigmas(plan);
  const bool from_table = plan.schedule == "simple" || plan.schedule == "ddim_uniform" ||
                          plan.schedule == "sgm_uniform" || plan.schedule == "linear_quadratic";
  if (from_table && options.sigmas.empty()) {
    std::vector<double> sigmas = table_sigmas(plan, table, steps);
    if (plan.config.use_dynamic_shifting)
      for (double& s : sigmas) s = dynamically_shifted(s, *options.mu, plan.config.time_shift_type);
    return sigmas;
  }
  std::vector<double> sigmas;
  if (!options.sigmas.empty()) {
    sigmas = finished(plan, options, to_float(options.sigmas));
  } else if (plan.config.whole_flow) {
    sigmas = finished(plan, options, to_float(linspace(1, 1 / static_cast<double>(steps), steps)));
  } else {
    const auto count = static_cast<double>(plan.train_steps());
    sigmas = linspace(table.back() * count, table.front() * count, steps);
    for (double& s : sigmas) s /= count;
    sigmas = finished(plan, options, std::move(sigmas));
  }
  if (plan.schedule == "normal") return sigmas;
  return spread_sigmas(plan.schedule, sigmas.front(), sigmas.back(),
                       static_cast<int64_t>(sigmas.size()), plan.rho);
}

double flow_shift(const PlanDetails& plan, const SamplerOptions& options) {
  return plan.config.use_dynamic_shifting ? std::exp(*options.mu) : *plan.config.shift;
}

/// DPM-Solver's and DEIS' flow sigmas.
std::vector<double> solver_flow_sigmas(const PlanDetails& plan, const SamplerOptions& options,
                                       int64_t steps) {
  const double shift = flow_shift(plan, options);
  const std::vector<double> alphas =
      linspace(1, 1 / static_cast<double>(plan.train_steps()), steps + 1);
  std::vector<double> sigmas;
  for (auto alpha = alphas.rbegin(); alpha + 1 != alphas.rend(); ++alpha)
    sigmas.push_back(shifted(1.0 - *alpha, shift));
  return sigmas;
}

/// UniPC's flow sigmas; the first one stays below 1, where its log ratio would be infinite.
std::vector<double> unipc_flow_sigmas(const PlanDetails& plan, const SamplerOptions& options,
                                      int64_t steps) {
  if (plan.schedule == "karras") {
    std::vector<double> sigmas =
        spread_sigmas("karras", plan.config.sigma_max.value_or(plan.training.sigma_max()),
                      plan.config.sigma_min.value_or(plan.training.sigma_min()), steps, plan.rho);
    for (double& s : sigmas) s = s / (s + 1);
    return sigmas;
  }
  std::vector<double> sigmas = options.sigmas;
  if (sigmas.empty()) {
    sigmas = linspace(1, 1 / static_cast<double>(plan.train_steps()), steps + 1);
    sigmas.pop_back();
  }
  sigmas = finished(plan, options, std::move(sigmas));
  constexpr double kMargin = 1e-6;
  if (std::abs(sigmas.front() - 1) < kMargin) sigmas.front() -= kMargin;
  return sigmas;
}

void finish_flow_match(PlanDetails& plan, const std::vector<double>& sigmas) {
  std::vector<double> timesteps;
  for (const double sigma : sigmas) {
    plan.points.push_back(static_cast<float>(sigma));
    timesteps.push_back(plan.points.back() * static_cast<float>(plan.train_steps()));
  }
  plan.points.push_back(0);
  plan.timesteps = timesteps;
  plan.sigmas = plan.points;
  if (plan.evaluations() == 2) add_second_order(plan, sigmas, timesteps);
}

void finish_solver(PlanDetails& plan, const std::vector<double>& sigmas) {
  for (const double sigma : sigmas) {
    plan.points.push_back(static_cast<float>(sigma));
    plan.timesteps.push_back(std::trunc(sigma * static_cast<double>(plan.train_steps())));
  }
  double last = 0;
  if (plan.row->grid == Grid::Deis || *plan.config.final_sigmas_type == "sigma_min")
    last = plan.row->grid == Grid::Dpm ? plan.training.sigma_min() : sigmas.back();
  plan.points.push_back(static_cast<float>(last));
  plan.sigmas = plan.points;
}

}  // namespace

void lay_out_flow(PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  std::vector<double> sigmas;
  switch (plan.row->grid) {
    case Grid::Dpm:
    case Grid::Deis:
      sigmas = solver_flow_sigmas(plan, options, steps);
      break;
    case Grid::UniPc:
      sigmas = unipc_flow_sigmas(plan, options, steps);
      break;
    default:
      sigmas = flow_match_sigmas(plan, options, steps);
  }
  plan.steps = static_cast<int64_t>(sigmas.size());
  if (plan.row->grid == Grid::Dpm || plan.row->grid == Grid::Deis || plan.row->grid == Grid::UniPc)
    return finish_solver(plan, sigmas);
  finish_flow_match(plan, sigmas);
}

}  // namespace sdrbee::sampling
