#include <algorithm>
#include <cmath>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/beta_quantile.h"
#include "sdrbee/sampling/grid.h"

namespace sdrbee::sampling {
namespace {

std::vector<double> karras_sigmas(double max, double min, int64_t count, double rho) {
  const double min_root = std::pow(min, 1 / rho);
  const double max_root = std::pow(max, 1 / rho);
  std::vector<double> sigmas = linspace(0, 1, count);
  for (double& s : sigmas) s = std::pow(max_root + s * (min_root - max_root), rho);
  return sigmas;
}

/// k-diffusion's schedule: even in log sigma with rho 1, and else in its power.
std::vector<double> polyexponential_sigmas(double max, double min, int64_t count, double rho) {
  std::vector<double> sigmas = linspace(1, 0, count);
  for (double& s : sigmas) s = std::exp(std::pow(s, rho) * std::log(max / min) + std::log(min));
  return sigmas;
}

std::vector<double> beta_sigmas(double max, double min, int64_t count) {
  constexpr double kShape = 0.6;
  std::vector<double> sigmas = linspace(0, 1, count);
  for (double& s : sigmas) s = min + beta_quantile(1 - s, kShape, kShape) * (max - min);
  return sigmas;
}

std::vector<double> trailing_timesteps(const Spacing& spacing, int64_t steps) {
  const double ratio = static_cast<double>(spacing.train_steps) / static_cast<double>(steps);
  const auto last = static_cast<double>(spacing.last);
  // numpy.arange's rounding gives one value too many for some counts, at timestep -1; diffusers
  // runs it, sdrbee leaves it out (docs/numerics.md).
  const auto count = std::min(steps, static_cast<int64_t>(std::ceil(last / ratio)));
  const double delta = (last - ratio) - last;
  std::vector<double> timesteps;
  for (int64_t i = 0; i < count; ++i)
    timesteps.push_back(std::nearbyint(last + static_cast<double>(i) * delta) - 1);
  return timesteps;
}

}  // namespace

std::vector<double> linspace(double from, double to, int64_t count) {
  std::vector<double> values;
  const double step = count > 1 ? (to - from) / static_cast<double>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i) * step + from);
  if (count > 1) values.back() = to;
  return values;
}

std::vector<double> spaced_timesteps(const Spacing& spacing, int64_t steps) {
  if (spacing.name == "trailing") return trailing_timesteps(spacing, steps);
  const int64_t count = steps + (spacing.extra_point ? 1 : 0);
  std::vector<double> rising;
  if (spacing.name == "linspace") {
    rising = linspace(0, static_cast<double>(spacing.last - 1), count);
  } else {
    const int64_t ratio = spacing.last / count;
    if (ratio < 1)
      throw InvalidRequest(message("[steps] spacing leading expected at most ",
                                   spacing.last - (count - steps), " steps but got ", steps,
                                   "; linspace and trailing allow more"));
    for (int64_t i = 0; i < count; ++i)
      rising.push_back(static_cast<double>(i * ratio + spacing.offset));
  }
  std::vector<double> falling(rising.rbegin(), rising.rend());
  falling.resize(static_cast<size_t>(steps));
  return falling;
}

std::vector<double> spread_sigmas(std::string_view schedule, double max, double min, int64_t count,
                                  std::optional<double> rho) {
  if (schedule == "karras") return karras_sigmas(max, min, count, rho.value_or(7));
  if (schedule == "polyexponential")
    return polyexponential_sigmas(max, min, count, rho.value_or(1));
  if (schedule == "beta") return beta_sigmas(max, min, count);
  std::vector<double> sigmas;
  if (schedule == "exponential") {
    sigmas = linspace(std::log(max), std::log(min), count);
    for (double& s : sigmas) s = std::exp(s);
  } else {  // kl_optimal: Sabour et al. 2024, arXiv:2404.14507, section 3.1
    sigmas = linspace(0, 1, count);
    for (double& s : sigmas) s = std::tan(s * std::atan(min) + (1 - s) * std::atan(max));
  }
  return sigmas;
}

std::vector<double> linear_quadratic_shares(int64_t count) {
  constexpr double kThreshold = 0.025;
  if (count == 1) return {1};
  const int64_t half = count / 2;
  const auto linear = static_cast<double>(half);
  const auto quadratic = static_cast<double>(count - half);
  const double bend =
      (linear - kThreshold * static_cast<double>(count)) / (linear * quadratic * quadratic);
  const double slope = kThreshold / linear - 2 * linear * bend;
  std::vector<double> shares;
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<double>(i);
    shares.push_back(1 - (i < half ? at * kThreshold / linear
                                   : bend * (at * at + linear * linear) + slope * at));
  }
  return shares;
}

std::vector<int64_t> table_entries(std::string_view schedule, int64_t size, int64_t count) {
  std::vector<int64_t> entries;
  if (schedule == "simple") {
    const double stride = static_cast<double>(size) / static_cast<double>(count);
    for (int64_t i = 0; i < count; ++i)
      entries.push_back(size - 1 - static_cast<int64_t>(static_cast<double>(i) * stride));
    return entries;
  }
  const int64_t stride = std::max<int64_t>(size / count, 1);  // ddim_uniform
  for (int64_t entry = 1; entry < size; entry += stride) entries.push_back(entry);
  std::reverse(entries.begin(), entries.end());
  return entries;
}

}  // namespace sdrbee::sampling
