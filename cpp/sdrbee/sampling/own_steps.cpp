#include <algorithm>
#include <cmath>

#include "sdrbee/sampling/grid.h"

namespace sdrbee::sampling {
namespace {

/// How often restart goes back up, and how many steps that takes each time.
struct Restarts {
  int64_t times = 0;
  int64_t steps = 0;
};

/// The rule of https://github.com/AUTOMATIC1111/stable-diffusion-webui,
/// modules/sd_samplers_extra.py.
Restarts restarts_in(int64_t steps) {
  if (steps < 20) return {};
  if (steps < 36) return {.times = 1, .steps = 9};
  return {.times = 2, .steps = steps / 4};
}

size_t nearest(const std::vector<double>& sigmas, double sigma) {
  const auto closer = [&](double a, double b) { return std::abs(a - sigma) < std::abs(b - sigma); };
  return static_cast<size_t>(std::min_element(sigmas.begin(), sigmas.end(), closer) -
                             sigmas.begin());
}

/// The points of a schedule from where the strength begins, with the final one.
std::vector<double> remaining(PlanDetails& plan, const SamplerOptions& options, int64_t steps,
                              int64_t dropped) {
  std::vector<double> sigmas = plan_points(plan, options, steps).sigmas;
  sigmas.erase(sigmas.begin(), sigmas.begin() + dropped);
  sigmas.push_back(options.sigmas.empty() ? 0 : options.sigmas.back());
  return sigmas;
}

int64_t steps_asked_for(const SamplerOptions& options, int64_t steps) {
  return options.sigmas.empty() ? steps : std::ssize(options.sigmas) - 1;
}

/// Adds a step to a plan of Heun's evaluations.
void add_step(PlanDetails& plan, double start, double end) {
  plan.timesteps.push_back(plan.training.timestep_of(start));
  plan.timesteps.push_back(plan.training.timestep_of(end));
  plan.starts.push_back(static_cast<float>(start));
  plan.points.push_back(static_cast<float>(end));
}

/// The smallest level of a schedule that isn't 0: where DPM-Solver, which works in log sigma, ends.
double lowest_of(const PlanDetails& plan, const std::vector<double>& sigmas) {
  if (sigmas.back() > 0) return sigmas.back();
  const double lowest = sigmas[sigmas.size() - 2];
  return sigmas.size() > 2 ? lowest : std::min(lowest / 2, plan.training.sigma_min());
}

}  // namespace

void lay_out_restart(PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  constexpr double kLow = 0.1;
  constexpr double kHigh = 2;
  steps = steps_asked_for(options, steps);
  const int64_t dropped = first_step_of(steps, options.strength, false);
  const Restarts restarts = restarts_in(steps - dropped);
  const std::vector<double> main =
      remaining(plan, options, steps - restarts.times * restarts.steps, dropped);
  const size_t low = nearest(main, kLow);
  const size_t high = nearest(main, kHigh);
  plan.points = {static_cast<float>(main.front())};
  for (size_t i = 0; i + 1 < main.size(); ++i) {
    add_step(plan, main[i], main[i + 1]);
    if (i + 1 != low || high >= low) continue;
    std::vector<double> segment =
        spread_sigmas("karras", main[high], main[low], restarts.steps + 1, plan.rho);
    segment.back() = main[low];
    for (int64_t time = 0; time < restarts.times; ++time)
      for (size_t k = 0; k + 1 < segment.size(); ++k) add_step(plan, segment[k], segment[k + 1]);
  }
  plan.steps = std::ssize(plan.starts);
  if (plan.points.back() == 0) plan.timesteps.pop_back();
  for (const float point : plan.points) plan.sigmas.insert(plan.sigmas.end(), 2, point);
  plan.sigmas.erase(plan.sigmas.begin());
}

void lay_out_fast(PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  steps = steps_asked_for(options, steps);
  const int64_t dropped = first_step_of(steps, options.strength, false);
  const std::vector<double> main = remaining(plan, options, steps, dropped);
  const double lowest = lowest_of(plan, main);
  const int64_t evaluations = steps - dropped;
  plan.steps = evaluations / 3 + 1;
  const std::vector<double> times =
      linspace(-std::log(main.front()), -std::log(lowest), plan.steps + 1);
  for (const double t : times) plan.points.push_back(static_cast<float>(std::exp(-t)));
  for (int64_t step = 0; step < plan.steps; ++step) {
    const int64_t left = evaluations - std::ssize(plan.timesteps);
    // What is left for the last steps is 1, 2, or 3 as 2 and 1.
    const int64_t order = left > 3 ? 3 : std::min<int64_t>(left, 2);
    const double from = plan.point(step);
    const double down =
        ancestral_spread_above(from, plan.point(step + 1), plan.points.back(), plan.eta).down;
    plan.first_evaluations.push_back(std::ssize(plan.timesteps));
    const auto add = [&](double part) {
      const double sigma = from * std::pow(down / from, part);
      plan.sigmas.push_back(static_cast<float>(sigma));
      plan.timesteps.push_back(plan.training.timestep_of(sigma));
    };
    add(0);
    for (const double part : inner_parts(order)) add(part);
  }
  plan.first_evaluations.push_back(std::ssize(plan.timesteps));
  plan.sigmas.push_back(plan.points.back());
}

void lay_out_adaptive(PlanDetails& plan, const SamplerOptions& options, int64_t steps) {
  constexpr int64_t kMostAttempts = 10'000;
  steps = steps_asked_for(options, steps);
  const int64_t dropped = first_step_of(steps, options.strength, false);
  const std::vector<double> main = remaining(plan, options, steps, dropped);
  plan.points = {static_cast<float>(main.front()), static_cast<float>(lowest_of(plan, main))};
  plan.sigmas = plan.points;
  plan.timesteps = {plan.training.timestep_of(main.front())};
  plan.steps = kMostAttempts;
}

}  // namespace sdrbee::sampling
