// Noise levels that were searched for and published as tables.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sdrbee::sampling {

/// align_your_steps and gits: the `steps` sigmas of Stable Diffusion that the published tables
/// give, falling, without the final 0. Other numbers of steps than the tables' are linear in log
/// sigma between them. `xl` takes the table for XL where there is one.
std::vector<double> published_sigmas(std::string_view schedule, bool xl, int64_t steps);

}  // namespace sdrbee::sampling
