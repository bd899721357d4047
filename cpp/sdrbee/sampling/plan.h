// The plan of a generation: its noise levels, and what moves between them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/core/tensor.h"
#include "sdrbee/sampling/prediction.h"
#include "sdrbee/sampling/scheduler_config.h"
#include "sdrbee/sampling/step.h"

namespace sdrbee::sampling {

/// The request's choices; what is empty comes from the model folder's scheduler configuration.
struct SamplerOptions {
  std::optional<std::string> sampler{};     ///< a name or alias of samplers()
  std::optional<std::string> schedule{};    ///< a name of schedules()
  std::optional<std::string> spacing{};     ///< linspace, leading or trailing
  std::optional<std::string> prediction{};  ///< epsilon, v_prediction, sample or flow_prediction
  /// Own noise levels, descending: with the final level, usually 0, for diffusion models; without
  /// it for flow models, whose shift is still applied. Replaces the number of steps.
  std::vector<double> sigmas{};
  /// 0..1, the share of new noise of the samplers whose row says so, and its default.
  std::optional<double> eta{};
  double s_churn = 0;  ///< euler, and heun on flow models: at least 0
  double s_noise = 1;  ///< scale of the noise that s_churn and the SDE samplers add
  /// Exponent of the schedules karras (default 7) and polyexponential (default 1).
  std::optional<double> rho{};
  /// align_your_steps: the steps published for Stable Diffusion XL instead of those for 1.x.
  bool xl_steps = false;
  /// Of an image-to-image generation, for samplers and schedules that lay their steps out from
  /// there; such a generation begins with step 0.
  double strength = 1;
  /// lcm and tcd: lays the grid out over this share of the distilled timesteps, as diffusers'
  /// LatentConsistencyModelImg2ImgPipeline does; such a generation begins with step 0.
  double distilled_strength = 1;
  std::optional<double> mu{};  ///< dynamic shift of flow models, see `use_dynamic_shifting`
};

struct PlanDetails;

/// The resolved choices, noise levels and timesteps of a generation. Immutable; copies are cheap
/// and share one state; safe from any thread.
class Plan {
 public:
  /// Steps as the user counts them: a Heun step is one although it needs two evaluations. Equals
  /// the number asked for, except for own sigmas, for `ddim_uniform`, whose definition may add a
  /// step, and for `dpm_fast`, which is asked for evaluations. The limit for open-ended plans.
  int64_t step_count() const;

  /// Whether the sampler finds its steps on the way: History::progress then tells the end.
  bool open_ended() const;

  /// Resolved names, for recipes. `schedule` is "custom" for own sigmas of a diffusion model.
  const std::string& sampler() const;
  const std::string& schedule() const;
  const std::string& spacing() const;
  const std::string& prediction() const;
  PredictionType prediction_type() const;

  /// The first step of an image-to-image generation of `strength` 0..1, by diffusers' rule; 0 where
  /// the grid was laid out over or from a strength, all of which is run.
  /// Throws InvalidRequest when no step is left.
  int64_t first_step(double strength) const;

  /// The first step of a generation that takes over where `done`, a part 0..1 of the noise levels
  /// by training timesteps, was run before (`denoising_start`), by diffusers' rule.
  int64_t takeover_step(double done) const;

  /// The step before which a generation ends that hands over there (`denoising_end`). Equals
  /// takeover_step but for `pndm`.
  int64_t handover_step(double done) const;

  /// The scale of pure noise at the beginning of the first step (`init_noise_sigma`).
  double initial_noise_scale() const;

  /// Clean latents noised to the level at which `step` starts in a running generation, for
  /// blending after the step before it; `step_count()` gives the clean latents.
  Tensor add_noise(const Tensor& clean, const Tensor& noise, int64_t step) const;

  /// Clean latents noised to the level at which a generation that begins with `step` begins, for
  /// image-to-image. Differs from add_noise for `pndm` only, whose list repeats a timestep.
  Tensor add_start_noise(const Tensor& clean, const Tensor& noise, int64_t step) const;

  /// The noise levels of add_noise and add_start_noise.
  NoiseLevel level(int64_t step) const;
  /// ... after the steps that `history` remembers, the next one being `step`.
  NoiseLevel level(int64_t step, const History& history) const;
  NoiseLevel start_level(int64_t step) const;

  /// Clean latents noised to one of the noise levels.
  Tensor add_noise_at(const Tensor& clean, const Tensor& noise, const NoiseLevel& level) const;

  /// diffusers' `scheduler.timesteps`: one entry for each evaluation of a whole generation.
  const std::vector<double>& timesteps() const;

  /// diffusers' `scheduler.sigmas`; empty for samplers that have none (ddim, ddpm, pndm, lcm, tcd).
  std::vector<double> sigmas() const;

  const PlanDetails& details() const { return *details_; }

 private:
  friend Plan make_plan(const SchedulerConfig&, const SamplerOptions&, int64_t);
  int64_t steps_above(double done, NoiseLevel (Plan::*level_of)(int64_t) const) const;
  explicit Plan(std::shared_ptr<const PlanDetails> details) : details_(std::move(details)) {}

  std::shared_ptr<const PlanDetails> details_;
};

/// Resolves the request's choices against the model's configuration and lays out the noise levels.
/// Throws InvalidRequest for unknown names (with the nearest ones), combinations that a sampler
/// does not allow (with those it allows) and steps outside its range; UnsupportedModel for options
/// of the configuration that are not supported.
Plan make_plan(const SchedulerConfig& config, const SamplerOptions& options, int64_t steps);

/// The clean latents that a raw prediction for `evaluation` implies, fp32: what previews show.
Tensor predicted_clean(const Plan& plan, const Evaluation& evaluation, const Tensor& raw);

}  // namespace sdrbee::sampling
