#include <algorithm>
#include <cmath>

#include "sdrbee/sampling/grid.h"

namespace sdrbee::sampling {
namespace {

/// torch.lerp with weight 0.5.
float halfway(float start, float end) { return end - (end - start) * 0.5F; }

/// The sigma inside step k of a plan, in the fp32 arithmetic of its sampler.
float midpoint(const PlanDetails& plan, int64_t k) {
  const float from = plan.point(k);
  const float to = plan.point(k + 1);
  if (plan.row->grid == Grid::Dpm2) return std::exp(halfway(std::log(to), std::log(from)));
  if (plan.row->grid == Grid::Dpm2Ancestral)
    return std::exp(halfway(std::log(from), std::log(ancestral_spread(from, to).down)));
  const float target =
      plan.row->grid == Grid::Dpm2s ? accurate_ancestral_spread(from, to, plan.eta).down : to;
  const float t = -std::log(from);
  return std::exp(-(t + (-std::log(target) - t) * 0.5F));
}

/// The timestep inside step k.
double midpoint_timestep(const PlanDetails& plan, const std::vector<double>& sigmas, size_t k) {
  switch (plan.row->grid) {
    case Grid::DpmSde: {
      const double t = -std::log(sigmas[k]);
      return plan.training.timestep_of(std::exp(-(t + (-std::log(sigmas[k + 1]) - t) * 0.5)));
    }
    case Grid::Dpm2s:
      return plan.training.timestep_of(plan.midpoints[k]);
    default:
      return plan.training.timestep_of_fp32(plan.midpoints[k]);
  }
}

}  // namespace

AncestralSpread ancestral_spread(float from, float to) {
  const float to2 = to * to;
  const float from2 = from * from;
  const float up = std::min(to, std::sqrt(to2 * (from2 - to2) / from2));
  return {std::sqrt(to2 - up * up), up};
}

AncestralSpread accurate_ancestral_spread(double from, double to, double eta) {
  const double up = std::min(to, eta * to * std::sqrt((from - to) * (from + to)) / from);
  return {static_cast<float>(std::sqrt((to - up) * (to + up))), static_cast<float>(up)};
}

AncestralSpread ancestral_spread_above(double from, double to, double lowest, double eta) {
  const double down =
      std::max(lowest, static_cast<double>(accurate_ancestral_spread(from, to, eta).down));
  const double up = std::sqrt(std::max(0.0, (to - down) * (to + down)));
  return {static_cast<float>(down), eta > 0 ? static_cast<float>(up) : 0};
}

void add_second_order(PlanDetails& plan, const std::vector<double>& sigmas,
                      const std::vector<double>& timesteps) {
  const bool heun = plan.row->grid == Grid::Heun;
  const bool lists_midpoints = plan.row->grid == Grid::Dpm2s;
  plan.sigmas = {plan.points.front()};
  plan.timesteps = {timesteps.front()};
  for (size_t k = 0; k + 1 < timesteps.size(); ++k) {
    if (!heun) plan.midpoints.push_back(midpoint(plan, static_cast<int64_t>(k)));
    plan.timesteps.push_back(heun ? timesteps[k + 1] : midpoint_timestep(plan, sigmas, k));
    plan.timesteps.push_back(timesteps[k + 1]);
    plan.sigmas.push_back(lists_midpoints ? plan.midpoints[k] : plan.points[k + 1]);
    plan.sigmas.push_back(plan.points[k + 1]);
  }
  const bool dpm2 = plan.row->grid == Grid::Dpm2 || plan.row->grid == Grid::Dpm2Ancestral;
  plan.sigmas.insert(plan.sigmas.end(), dpm2 ? 3 : 1, plan.points.back());
}

}  // namespace sdrbee::sampling
