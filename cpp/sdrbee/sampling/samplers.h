// The table of samplers.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "sdrbee/sampling/plan.h"
#include "sdrbee/sampling/prediction.h"
#include "sdrbee/sampling/step.h"

namespace sdrbee::sampling {

/// Where a sampler's noise levels and timesteps come from. "Spaced" points are those that the
/// timestep spacing gives; "table" is the whole training table.
enum class Grid {
  Euler,          ///< N points, the last one followed by 0; ends of karras, exponential and beta:
                  ///< the first and the last spaced point
  Heun,           ///< as Euler; evaluates at both ends of a step
  Dpm2,           ///< as Euler with a point inside each step; karras timesteps are rounded
  Dpm2Ancestral,  ///< as Dpm2, the point inside lies on the way to the ancestral sigma
  DpmSde,         ///< as Euler with a point inside each step at half the log of sigma
  Dpm2s,          ///< as DpmSde, the point inside lies on the way to the ancestral sigma
  Dpm,          ///< N + 1 whole points without the last; ends of karras, exponential and beta: the
                ///< training table's; timesteps are whole
  UniPc,        ///< as Dpm; a final sigma_min is the last point's
  Deis,         ///< as Dpm; always ends above 0
  Ddim,         ///< N whole timesteps, no sigmas
  Pndm,         ///< as Ddim, the second timestep twice
  Lcm,          ///< N of the timesteps that the model was distilled on
  Restart,      ///< as Heun, with steps between that go back up
  DpmFast,      ///< even in log sigma between the ends that Euler's points have
  DpmAdaptive,  ///< those ends; what lies between is found on the way
};

/// What a diffusers class takes for granted where scheduler_config.json is silent.
struct ClassDefaults {
  double beta_start = 0.0001;
  double beta_end = 0.02;
  std::string_view beta_schedule = "linear";
  std::string_view spacing = "linspace";
  bool set_alpha_to_one = true;
  bool clip_sample = false;
};

/// The defaults of most classes.
inline constexpr ClassDefaults kCommonDefaults;

/// Whether a grid's samplers lay their own steps out from the noise level at which a strength
/// begins, and so run the whole plan (SamplerOptions::strength).
constexpr bool begins_at_strength(Grid grid) {
  return grid == Grid::Restart || grid == Grid::DpmFast || grid == Grid::DpmAdaptive;
}

/// One sampler.
struct SamplerRow {
  std::string_view name;
  std::vector<std::string_view> aliases;  ///< other spellings and diffusers' classes
  std::string_view description;
  std::string_view paper;   ///< authors, year, arXiv number
  int64_t order = 1;        ///< of convergence; of the part without noise where noise is drawn
  int64_t evaluations = 1;  ///< of the network in a step; fewer in the first or last one of some
  Grid grid;
  /// For diffusion models; the first is the default.
  std::vector<std::string_view> schedules;
  /// For flow models; empty when the sampler does not run them.
  std::vector<std::string_view> flow_schedules;
  std::vector<PredictionType> predictions;
  /// Whether the model folder's use_karras_sigmas, ... choose its default schedule.
  bool config_schedule = true;
  bool uses_eta = false;
  double default_eta = 0;
  bool uses_churn = false;
  const ClassDefaults* defaults = &kCommonDefaults;
  Step (*step)(StepContext context, Tensor latents, History& history);

  /// Whether the sampler takes the noise levels of a schedule; the others have a grid of their own.
  bool has_schedules() const { return schedules.size() > 1; }
};

/// All samplers, in the order in which they are listed to users.
std::span<const SamplerRow> samplers();

/// The row of a name or alias, in any case. Throws InvalidRequest with the nearest names.
const SamplerRow& find_sampler(std::string_view name);

}  // namespace sdrbee::sampling
