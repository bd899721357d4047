#include "sdrbee/sampling/plan.h"

#include <algorithm>
#include <cmath>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/sampling/plan_details.h"

namespace sdrbee::sampling {

int64_t Plan::step_count() const { return details_->steps; }
bool Plan::open_ended() const { return details_->open_ended(); }
const std::string& Plan::sampler() const { return details_->sampler; }
const std::string& Plan::schedule() const { return details_->schedule; }
const std::string& Plan::spacing() const { return details_->spacing; }
const std::string& Plan::prediction() const { return details_->prediction; }
PredictionType Plan::prediction_type() const { return details_->prediction_type; }
const std::vector<double>& Plan::timesteps() const { return details_->timesteps; }

std::vector<double> Plan::sigmas() const {
  return {details_->sigmas.begin(), details_->sigmas.end()};
}

int64_t first_step_of(int64_t count, double strength, bool flow) {
  // Pipelines of flow models round the first step down, those of diffusion models the step count.
  const double kept = std::min(static_cast<double>(count) * strength, static_cast<double>(count));
  const int64_t first = flow ? static_cast<int64_t>(static_cast<double>(count) - kept)
                             : count - static_cast<int64_t>(kept);
  if (first >= count)
    throw InvalidRequest(message("[strength] ", strength, " leaves none of the ", count,
                                 " steps; expected at least ", 1.0 / static_cast<double>(count),
                                 ", or more steps"));
  return first;
}

int64_t Plan::first_step(double strength) const {
  if (!(strength >= 0 && strength <= 1))
    throw InvalidRequest(message("[strength] expected 0..1 but got ", strength));
  const bool in_grid = details_->row->grid == Grid::Lcm && details_->distilled_strength < 1;
  if (in_grid || details_->from_strength) return 0;
  return first_step_of(step_count(), strength, details_->is_flow());
}

int64_t Plan::takeover_step(double done) const { return steps_above(done, &Plan::start_level); }
int64_t Plan::handover_step(double done) const { return steps_above(done, &Plan::level); }

int64_t Plan::steps_above(double done, NoiseLevel (Plan::*level_of)(int64_t) const) const {
  const auto train_steps = static_cast<double>(details_->train_steps());
  if (open_ended())
    throw InvalidRequest(message("[sampler] ", sampler(),
                                 " finds its steps on the way, and can't take over or hand over at "
                                 "denoising_start or denoising_end; use another one"));
  const double cutoff = std::nearbyint(train_steps - done * train_steps);
  int64_t step = 0;
  while (step < step_count() && details_->timestep((this->*level_of)(step).index) >= cutoff) ++step;
  return step;
}

double Plan::initial_noise_scale() const {
  if (details_->is_flow() || details_->sigmas.empty()) return 1;
  switch (details_->row->grid) {
    case Grid::Dpm:
    case Grid::UniPc:
    case Grid::Deis:
      return 1;
    default:
      break;
  }
  const float max = *std::max_element(details_->sigmas.begin(), details_->sigmas.end());
  return details_->unit_variance ? std::sqrt(max * max + 1) : max;
}

NoiseLevel Plan::start_level(int64_t step) const {
  SDRBEE_CHECK(step >= 0 && step <= step_count());
  if (step == step_count()) return {.index = static_cast<int64_t>(timesteps().size())};
  return {.index = details_->first_evaluation(step)};
}

NoiseLevel Plan::level(int64_t step) const {
  // pndm's first step covers two of its timesteps, so that a running generation is one ahead.
  if (details_->row->grid == Grid::Pndm && step > 0 && step < step_count())
    return {.index = step + 1};
  return start_level(step);
}

NoiseLevel Plan::level(int64_t step, const History& history) const {
  if (!open_ended() || history.scalars.empty()) return level(step);
  if (history.progress >= 1) return level(step_count());
  return {.index = 0, .sigma = static_cast<float>(std::exp(-history.scalars.front()))};
}

Tensor Plan::add_noise(const Tensor& clean, const Tensor& noise, int64_t step) const {
  return add_noise_at(clean, noise, level(step));
}

Tensor Plan::add_start_noise(const Tensor& clean, const Tensor& noise, int64_t step) const {
  return add_noise_at(clean, noise, start_level(step));
}

Tensor Plan::add_noise_at(const Tensor& clean, const Tensor& noise, const NoiseLevel& level) const {
  const PlanDetails& plan = *details_;
  if (level.sigma) return clean + noise * *level.sigma;
  if (level.index >= static_cast<int64_t>(plan.timesteps.size())) return clean;
  if (plan.sigmas.empty()) {
    const float alpha = plan.alpha_cumprod(static_cast<int64_t>(plan.timestep(level.index)));
    return clean * std::sqrt(alpha) + noise * std::sqrt(1 - alpha);
  }
  const float sigma = plan.sigmas[static_cast<size_t>(level.index)];
  if (plan.is_flow()) return noise * sigma + clean * (1 - sigma);
  switch (plan.row->grid) {
    case Grid::Dpm:
    case Grid::UniPc:
    case Grid::Deis: {
      const Mix mix = variance_preserving_mix(sigma);
      return clean * mix.alpha + noise * mix.sigma;
    }
    default:
      return clean + noise * sigma;
  }
}

Tensor predicted_clean(const Plan& plan, const Evaluation& evaluation, const Tensor& raw) {
  return clean_from(plan.prediction_type(), raw, evaluation.input, evaluation.mix);
}

}  // namespace sdrbee::sampling
