#include "sdrbee/sampling/schedules.h"

#include <array>
#include <string>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/names.h"

namespace sdrbee::sampling {
namespace {

constexpr std::array<ScheduleRow, 13> kSchedules = {{
    {"normal", "the training timesteps at the spacing's distances",
     "Lin et al. 2023, arXiv:2305.08891, table 2", true},
    {"karras", "even in sigma^(1/rho), rho 7: small steps where little noise is left",
     "Karras et al. 2022, arXiv:2206.00364, eq. 5", true},
    {"exponential", "even in log sigma", "k-diffusion", true},
    {"polyexponential", "even in a power of log sigma; rho 1 is exponential", "k-diffusion", true},
    {"beta", "quantiles of a beta distribution: small steps at both ends",
     "Lee et al. 2024, arXiv:2407.12173", true},
    {"simple", "every n-th training timestep from the noisiest one", "ComfyUI", false},
    {"sgm_uniform", "even timesteps, the last one skipped", "Stability AI, generative-models",
     false},
    {"ddim_uniform", "every n-th training timestep from the cleanest one; may add a step",
     "Song et al. 2020, arXiv:2010.02502", false},
    {"linear_quadratic", "the first half of the steps stays near pure noise, then quadratic",
     "Genmo, Mochi 1", false},
    {"turbo", "the timesteps that SD-Turbo was distilled on, at most 10",
     "Sauer et al. 2023, arXiv:2311.17042", false},
    {"kl_optimal", "even in arctan sigma", "Sabour et al. 2024, arXiv:2404.14507", false},
    {"align_your_steps", "searched for Stable Diffusion and XL with 10 steps",
     "Sabour et al. 2024, arXiv:2404.14507", false},
    {"gits", "searched along the trajectory's curvature, 2 to 20 steps",
     "Chen et al. 2024, arXiv:2405.11326", false},
}};

constexpr std::array<std::string_view, 3> kSpacings = {"linspace", "leading", "trailing"};

}  // namespace

std::span<const ScheduleRow> schedules() { return kSchedules; }

const ScheduleRow& find_schedule(std::string_view name) {
  const std::string wanted = lower_case(name);
  std::vector<std::string_view> names;
  for (const ScheduleRow& row : kSchedules) {
    if (row.name == wanted) return row;
    names.push_back(row.name);
  }
  throw InvalidRequest(unknown_name_message("schedule", name, names));
}

std::span<const std::string_view> spacings() { return kSpacings; }

}  // namespace sdrbee::sampling
