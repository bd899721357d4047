// What the step functions see of a plan.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/sampling/plan.h"
#include "sdrbee/sampling/samplers.h"
#include "sdrbee/sampling/scheduler_config.h"
#include "sdrbee/sampling/training_noise.h"

namespace sdrbee::sampling {

/// The state of a Plan. A step k goes from points[k] to points[k + 1].
struct PlanDetails {
  const SamplerRow* row = nullptr;
  SchedulerConfig config;  ///< with the defaults of the sampler filled in
  PredictionType prediction_type = PredictionType::Epsilon;
  std::string sampler, schedule, spacing, prediction;  ///< resolved names
  double eta = 0;
  double s_churn = 0;
  double s_noise = 1;
  double distilled_strength = 1;
  std::optional<double> rho;  ///< of karras and polyexponential

  TrainingNoise training;  ///< empty for flow models
  int64_t steps = 0;
  std::vector<float> points;     ///< steps + 1 sigmas; empty for samplers without sigmas
  std::vector<float> midpoints;  ///< sigmas inside the steps but the last, for order 2
  std::vector<float> starts;     ///< restart: the sigma that each step is raised to before it
  std::vector<int64_t> first_evaluations;  ///< dpm_fast: each step's first entry of timesteps
  bool from_strength = false;     ///< laid out from where a strength begins: all steps are run
  std::vector<float> sigmas;      ///< diffusers' list, with repetitions
  std::vector<double> timesteps;  ///< diffusers' list, one for each evaluation
  bool unit_variance = false;     ///< pure noise starts at sqrt(sigma_max^2 + 1)

  bool is_flow() const { return prediction_type == PredictionType::Flow; }
  bool open_ended() const { return row->grid == Grid::DpmAdaptive; }
  int64_t train_steps() const { return *config.num_train_timesteps; }
  float point(int64_t index) const { return points[static_cast<size_t>(index)]; }
  double timestep(int64_t index) const { return timesteps[static_cast<size_t>(index)]; }

  /// The entry of `timesteps` that a step begins with.
  int64_t first_evaluation(int64_t step) const {
    if (!first_evaluations.empty()) return first_evaluations[static_cast<size_t>(step)];
    return step * evaluations();
  }

  /// Evaluations of each step but the last one.
  int64_t evaluations() const {
    switch (row->grid) {
      case Grid::Heun:
      case Grid::Dpm2:
      case Grid::Dpm2Ancestral:
      case Grid::DpmSde:
      case Grid::Dpm2s:
      case Grid::Restart:
        return 2;
      default:
        return 1;
    }
  }

  /// Share of signal at a whole training timestep; below 0 the share at the end of the last step.
  float alpha_cumprod(int64_t timestep) const {
    if (timestep < 0) return *config.set_alpha_to_one ? 1.0F : training.alphas_cumprod.front();
    return training.alphas_cumprod[static_cast<size_t>(timestep)];
  }
};

/// Spread of an ancestral step (Karras' to_d with added noise, k-diffusion's get_ancestral_step).
struct AncestralSpread {
  float down;  ///< the sigma to go down to without noise
  float up;    ///< the scale of the noise that is added then
};

/// The first step of image-to-image of `strength` where the plan has `count` steps.
/// Throws InvalidRequest when no step is left.
int64_t first_step_of(int64_t count, double strength, bool flow);

/// The ancestral step between two sigmas in fp32, as diffusers computes it.
AncestralSpread ancestral_spread(float from, float to);

/// The same in fp64, which keeps `down` accurate in long steps; `eta` scales the noise.
AncestralSpread accurate_ancestral_spread(double from, double to, double eta);

/// accurate_ancestral_spread whose `down` stays at or above `lowest`, as DPM-Solver's steps need
/// it.
AncestralSpread ancestral_spread_above(double from, double to, double lowest, double eta);

/// Where inside a step of DPM-Solver of `order` the network is evaluated once more, in parts of the
/// step's length in log sigma.
std::span<const double> inner_parts(int64_t order);

}  // namespace sdrbee::sampling
