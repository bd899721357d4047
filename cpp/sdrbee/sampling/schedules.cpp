#include "sdrbee/sampling/schedules.h"

#include <array>
#include <string>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/names.h"

namespace sdrbee::sampling {
namespace {

constexpr std::array<ScheduleRow, 8> kSchedules = {{
    {"normal", "the training timesteps at the spacing's distances", true},
    {"karras", "even in sigma^(1/7): small steps where little noise is left", true},
    {"exponential", "even in log sigma", true},
    {"beta", "quantiles of a beta distribution: small steps at both ends", true},
    {"simple", "every n-th training timestep from the noisiest one", false},
    {"sgm_uniform", "even timesteps, the last one skipped", false},
    {"ddim_uniform", "every n-th training timestep from the cleanest one; may add a step", false},
    {"kl_optimal", "even in arctan sigma", false},
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
