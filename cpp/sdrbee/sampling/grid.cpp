#include "sdrbee/sampling/grid.h"

#include <algorithm>
#include <cmath>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/published_steps.h"

namespace sdrbee::sampling {
namespace {

bool is_dpm_family(Grid grid) {
  return grid == Grid::Dpm || grid == Grid::UniPc || grid == Grid::Deis;
}

bool spreads_between_ends(std::string_view schedule) {
  return schedule == "karras" || schedule == "exponential" || schedule == "polyexponential" ||
         schedule == "beta";
}

/// The end of the timesteps that `lambda_min_clipped` leaves (Lu et al. 2022, arXiv:2211.01095,
/// appendix D.3): half log signal-to-noise ratios below it are not visited.
int64_t last_timestep(const PlanDetails& plan) {
  const int64_t size = plan.training.size();
  if (plan.row->grid != Grid::Dpm || !plan.config.lambda_min_clipped) return size;
  const auto clipped = std::count_if(
      plan.training.alphas_cumprod.begin(), plan.training.alphas_cumprod.end(), [&](float alpha) {
        const float lambda = std::log(std::sqrt(alpha)) - std::log(std::sqrt(1 - alpha));
        return static_cast<double>(lambda) < *plan.config.lambda_min_clipped;
      });
  return size - clipped;
}

std::vector<double> spaced(const PlanDetails& plan, int64_t steps) {
  const bool dpm = is_dpm_family(plan.row->grid);
  std::vector<double> timesteps = spaced_timesteps({.name = *plan.config.timestep_spacing,
                                                    .train_steps = plan.train_steps(),
                                                    .last = last_timestep(plan),
                                                    .offset = *plan.config.steps_offset,
                                                    .extra_point = dpm},
                                                   steps);
  const bool fp64 = plan.row->grid == Grid::DpmSde || plan.row->grid == Grid::Dpm2s;
  for (double& t : timesteps) {
    if (dpm) t = std::nearbyint(t);
    if (!dpm && !fp64) t = static_cast<double>(static_cast<float>(t));
  }
  return timesteps;
}

/// The form in which diffusers hands the timesteps of a schedule to the network.
double rounded_timestep(const PlanDetails& plan, double timestep) {
  const bool karras = plan.schedule == "karras";
  switch (plan.row->grid) {
    case Grid::Dpm2:
    case Grid::Dpm2Ancestral:
      return karras || !spreads_between_ends(plan.schedule) ? std::nearbyint(timestep) : timestep;
    case Grid::Dpm:
    case Grid::UniPc:
    case Grid::Deis: {
      const bool keeps_fraction =
          plan.row->grid == Grid::Dpm && *plan.config.beta_schedule == "squaredcos_cap_v2";
      const bool truncates = spreads_between_ends(plan.schedule) && (!karras || keeps_fraction);
      return truncates ? std::trunc(timestep) : std::nearbyint(timestep);
    }
    default:
      return timestep;
  }
}

Points spread_points(const PlanDetails& plan, int64_t steps) {
  double max = plan.training.sigma_max();
  double min = plan.training.sigma_min();
  Points points;
  if (plan.schedule != "kl_optimal") {
    if (!is_dpm_family(plan.row->grid)) {
      const std::vector<double> timesteps = spaced(plan, steps);
      max = plan.training.sigma_at(timesteps.front());
      min = plan.training.sigma_at(timesteps.back());
    }
    max = plan.config.sigma_max.value_or(max);
    min = plan.config.sigma_min.value_or(min);
  }
  points.sigmas = spread_sigmas(plan.schedule, max, min, steps, plan.rho);
  return points;
}

/// The sigmas of linear_quadratic, align_your_steps and gits.
Points fixed_points(const PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  if (plan.schedule != "linear_quadratic")
    return {published_sigmas(plan.schedule, options.xl_steps, steps), {}};
  Points points{linear_quadratic_shares(steps), {}};
  for (double& s : points.sigmas) s *= plan.training.sigma_max();
  return points;
}

/// The distilled timesteps of SD-Turbo (Sauer et al. 2023, arXiv:2311.17042): every tenth part of
/// the training, beginning where the strength does.
Points turbo_points(const PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  constexpr int64_t kDistilled = 10;
  const auto first = kDistilled - static_cast<int64_t>(kDistilled * options.strength);
  if (steps > kDistilled - first)
    throw InvalidRequest(message("[steps] schedule turbo expected at most ", kDistilled - first,
                                 options.strength < 1 ? " at this strength" : "", " but got ",
                                 steps));
  Points points;
  for (int64_t i = first; i < first + steps; ++i) {
    const int64_t entry = (kDistilled - i) * plan.training.size() / kDistilled - 1;
    points.sigmas.push_back(plan.training.sigmas[static_cast<size_t>(entry)]);
    points.timesteps.push_back(static_cast<double>(entry));
  }
  return points;
}

Points sgm_uniform_points(const PlanDetails& plan, int64_t steps) {
  Points points;
  points.timesteps = linspace(static_cast<double>(plan.training.size() - 1), 0, steps + 1);
  points.timesteps.pop_back();
  for (double& t : points.timesteps) {
    points.sigmas.push_back(plan.training.log_interpolated_sigma_at(t));
    t = rounded_timestep(plan, t);
  }
  return points;
}

/// Fills in the timesteps of sigmas that were laid out as such.
Points with_timesteps(const PlanDetails& plan, Points points) {
  for (const double sigma : points.sigmas)
    points.timesteps.push_back(rounded_timestep(plan, plan.training.timestep_of(sigma)));
  return points;
}

Points schedule_points(const PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  if (spreads_between_ends(plan.schedule) || plan.schedule == "kl_optimal")
    return with_timesteps(plan, spread_points(plan, steps));
  if (plan.schedule == "linear_quadratic" || plan.schedule == "align_your_steps" ||
      plan.schedule == "gits")
    return with_timesteps(plan, fixed_points(plan, options, steps));
  if (plan.schedule == "turbo") return turbo_points(plan, options, steps);
  if (plan.schedule == "sgm_uniform") return sgm_uniform_points(plan, steps);
  Points points;
  if (plan.schedule == "normal") {
    points.timesteps = spaced(plan, steps);
    for (const double t : points.timesteps) points.sigmas.push_back(plan.training.sigma_at(t));
    return points;
  }
  for (const int64_t entry : table_entries(plan.schedule, plan.training.size(), steps)) {
    points.timesteps.push_back(static_cast<double>(entry));
    points.sigmas.push_back(plan.training.sigmas[static_cast<size_t>(entry)]);
  }
  return points;
}

Points own_points(const PlanDetails& plan, const std::vector<double>& sigmas) {
  Points points;
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = static_cast<double>(static_cast<float>(sigmas[i]));
    points.sigmas.push_back(sigma);
    const double timestep = plan.training.timestep_of(sigma);
    points.timesteps.push_back(is_dpm_family(plan.row->grid) ? std::nearbyint(timestep) : timestep);
  }
  return points;
}

double final_sigma(const PlanDetails& plan, const Points& points) {
  const Grid grid = plan.row->grid;
  const bool zero = *plan.config.final_sigmas_type == "zero";
  const bool follows_points = grid == Grid::Deis || grid == Grid::UniPc;
  if (zero && grid != Grid::Deis) return 0;
  if (grid != Grid::Euler && !is_dpm_family(grid)) return 0;
  if (follows_points && spreads_between_ends(plan.schedule)) return points.sigmas.back();
  return plan.training.sigma_min();
}

void lay_out_sigmas(PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  const bool own = !options.sigmas.empty();
  const Points points = plan_points(plan, options, steps);
  for (const double sigma : points.sigmas) plan.points.push_back(static_cast<float>(sigma));
  plan.points.push_back(
      static_cast<float>(own ? options.sigmas.back() : final_sigma(plan, points)));
  plan.steps = static_cast<int64_t>(points.sigmas.size());
  plan.timesteps = points.timesteps;
  plan.sigmas = plan.points;
  if (plan.evaluations() == 2) add_second_order(plan, points.sigmas, points.timesteps);
}

void require_at_most(int64_t steps, int64_t limit, const PlanDetails& plan, std::string_view why) {
  if (steps > limit)
    throw InvalidRequest(message("[steps] sampler ", plan.sampler, " expected at most ", limit,
                                 " steps (", why, ") but got ", steps));
}

void lay_out_whole(PlanDetails& plan, int64_t steps) {
  require_at_most(steps, plan.train_steps(), plan, "the model's training timesteps");
  plan.timesteps = spaced_timesteps({.name = *plan.config.timestep_spacing,
                                     .train_steps = plan.train_steps(),
                                     .last = plan.train_steps(),
                                     .offset = *plan.config.steps_offset},
                                    steps);
  for (double& t : plan.timesteps)
    t = std::min(std::nearbyint(t), static_cast<double>(plan.train_steps() - 1));
  plan.steps = steps;
  if (plan.row->grid == Grid::Pndm && steps > 1)
    plan.timesteps.insert(plan.timesteps.begin() + 1, plan.timesteps[1]);
}

void lay_out_distilled(PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  const int64_t original = *plan.config.original_inference_steps;
  require_at_most(original, plan.train_steps(), plan, "the model's training timesteps");
  const auto count =
      static_cast<int64_t>(static_cast<double>(original) * options.distilled_strength);
  require_at_most(steps, count, plan, "the steps that the model was distilled on");
  const int64_t stride = plan.train_steps() / original;
  const double hop = static_cast<double>(count) / static_cast<double>(steps);
  for (int64_t i = 0; i < steps; ++i) {
    const auto skipped = static_cast<int64_t>(std::floor(static_cast<double>(i) * hop));
    plan.timesteps.push_back(static_cast<double>((count - skipped) * stride - 1));
  }
  plan.steps = steps;
}

}  // namespace

Points plan_points(const PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  return options.sigmas.empty() ? schedule_points(plan, options, steps)
                                : own_points(plan, options.sigmas);
}

void lay_out(PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  switch (plan.row->grid) {
    case Grid::Ddim:
    case Grid::Pndm:
      return lay_out_whole(plan, steps);
    case Grid::Lcm:
      return lay_out_distilled(plan, options, steps);
    case Grid::Restart:
      return lay_out_restart(plan, options, steps);
    case Grid::DpmFast:
      return lay_out_fast(plan, options, steps);
    case Grid::DpmAdaptive:
      return lay_out_adaptive(plan, options, steps);
    default:
      return lay_out_sigmas(plan, options, steps);
  }
}

}  // namespace sdrbee::sampling
