// The table of schedules, and the noise levels they give.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sdrbee::sampling {

/// One schedule: how noise levels are spread over a generation.
struct ScheduleRow {
  std::string_view name;
  std::string_view description;
  std::string_view paper;  ///< authors, year, arXiv number, or where it was published
  bool uses_spacing;       ///< whether linspace, leading and trailing make a difference
};

/// All schedules, in the order in which they are listed to users.
std::span<const ScheduleRow> schedules();

/// The row of a name, in any case. Throws InvalidRequest with the nearest names.
const ScheduleRow& find_schedule(std::string_view name);

/// The names of the timestep spacings.
std::span<const std::string_view> spacings();

}  // namespace sdrbee::sampling
