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
  Euler,   ///< N fractional points; ends of karras, exponential, beta: first and last spaced point
  Heun,    ///< as Euler, each inner point twice: evaluations at both ends of a step
  Dpm2,    ///< as Heun with a point between; karras timesteps are rounded
  DpmSde,  ///< as Heun with a point between, at half the log of sigma
  Dpm2s,   ///< as DpmSde, the point between lies on the way to the ancestral sigma
  Dpm,     ///< N+1 whole points without the last; ends of karras, ...: the table's; timesteps whole
  Ddim,    ///< N whole timesteps, no sigmas
  Pndm,    ///< as Ddim with the second timestep twice
  Lcm,     ///< N of the timesteps that the model was distilled on
};

/// One sampler.
struct SamplerRow {
  std::string_view name;
  std::vector<std::string_view> aliases;  ///< other spellings and diffusers' classes
  std::string_view description;
  Grid grid;
  std::vector<std::string_view> schedules;  ///< for diffusion models; the first is the default
  std::vector<std::string_view>
      flow_schedules;  ///< for flow models; empty when it does not run them
  std::vector<PredictionType> predictions;
  bool uses_eta = false;
  bool draws_noise = false;  ///< whether its steps may take noise from the NoiseSource
  Step (*step)(StepContext context, Tensor latents, History& history);
};

/// All samplers, in the order in which they are listed to users.
std::span<const SamplerRow> samplers();

/// The row of a name or alias, in any case. Throws InvalidRequest with the nearest names.
const SamplerRow& find_sampler(std::string_view name);

}  // namespace sdrbee::sampling
