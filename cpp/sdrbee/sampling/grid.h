// Noise levels and timesteps of a plan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/sampling/plan.h"
#include "sdrbee/sampling/plan_details.h"

namespace sdrbee::sampling {

/// Lays out `steps` steps: fills `points`, `midpoints`, `sigmas`, `timesteps` and `steps` of a plan
/// whose names, configuration and training noise are resolved.
/// Throws InvalidRequest when the grid has no room for that many steps.
void lay_out(PlanDetails& plan, const SamplerOptions& options, int64_t steps);

/// As lay_out for the samplers that go their own way between two ends.
void lay_out_restart(PlanDetails& plan, const SamplerOptions& options, int64_t steps);
void lay_out_fast(PlanDetails& plan, const SamplerOptions& options, int64_t steps);
void lay_out_adaptive(PlanDetails& plan, const SamplerOptions& options, int64_t steps);

/// Noise levels before they are rounded to fp32, without the final one, and what the network is
/// told.
struct Points {
  std::vector<double> sigmas;
  std::vector<double> timesteps;
};

/// The points of a diffusion model: own sigmas, or those of the plan's schedule for `steps` steps.
Points plan_points(const PlanDetails& plan, const SamplerOptions& options, int64_t steps);

/// As lay_out for flow models.
void lay_out_flow(PlanDetails& plan, const SamplerOptions& options, int64_t steps);

/// Appends the points between the steps and repeats the lists as diffusers does for order 2.
/// `sigmas` are the noise levels before rounding to fp32, `timesteps` theirs.
void add_second_order(PlanDetails& plan, const std::vector<double>& sigmas,
                      const std::vector<double>& timesteps);

/// karras, exponential, polyexponential, beta and kl_optimal: `count` sigmas from `max` down to
/// `min`. `rho` is 7 for karras (Karras et al. 2022, arXiv:2206.00364, eq. 5) and 1 for
/// polyexponential unless given; beta after arXiv:2407.12173.
std::vector<double> spread_sigmas(std::string_view schedule, double max, double min, int64_t count,
                                  std::optional<double> rho);

/// linear_quadratic: `count` shares of the largest sigma, falling from 1: 2.5 % of the way in the
/// first half of the steps, quadratic after it, as published with Mochi
/// (https://github.com/genmoai/mochi, src/genmo/mochi_preview/pipelines.py).
std::vector<double> linear_quadratic_shares(int64_t count);

/// simple, ddim_uniform: the chosen entries of a rising table of `size` sigmas, noisiest first.
std::vector<int64_t> table_entries(std::string_view schedule, int64_t size, int64_t count);

/// numpy.linspace: `count` values from `from` to `to`, both included.
std::vector<double> linspace(double from, double to, int64_t count);

/// Whole or fractional timesteps of a spacing, falling.
struct Spacing {
  std::string_view name;       ///< linspace, leading or trailing
  int64_t train_steps;         ///< training timesteps
  int64_t last = train_steps;  ///< linspace and leading end below this one
  int64_t offset = 0;          ///< added with leading
  bool extra_point = false;    ///< lay out one point more and drop the last
};

/// The timesteps before rounding of `linspace`; leading and trailing are whole.
/// Throws InvalidRequest when leading has no room for that many steps.
std::vector<double> spaced_timesteps(const Spacing& spacing, int64_t steps);

}  // namespace sdrbee::sampling
