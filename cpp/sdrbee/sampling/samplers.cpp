#include "sdrbee/sampling/samplers.h"

#include <algorithm>
#include <string>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/sampling/names.h"
#include "sdrbee/sampling/plan_details.h"
#include "sdrbee/sampling/steps.h"

namespace sdrbee::sampling {
namespace {

using Names = std::vector<std::string_view>;
using enum PredictionType;

const Names kAllSchedules = {"normal", "karras",      "exponential",  "beta",
                             "simple", "sgm_uniform", "ddim_uniform", "kl_optimal"};
const Names kOwnGrid = {"normal"};
const Names kNoFlow = {};
constexpr ClassDefaults kLatentSigmaDefaults = {.beta_start = 0.00085, .beta_end = 0.012};
constexpr ClassDefaults kTimestepDefaults = {.spacing = "leading", .clip_sample = true};
constexpr ClassDefaults kPndmDefaults = {.spacing = "leading", .set_alpha_to_one = false};
constexpr ClassDefaults kDistilledDefaults = {.beta_start = 0.00085,
                                              .beta_end = 0.012,
                                              .beta_schedule = "scaled_linear",
                                              .spacing = "leading"};

std::vector<SamplerRow> make_table() {
  return {
      {.name = "euler",
       .aliases = {"EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"},
       .description = "first order; the plain choice, also for flow models",
       .grid = Grid::Euler,
       .schedules = kAllSchedules,
       .flow_schedules = kAllSchedules,
       .predictions = {Epsilon, Velocity, Sample, Flow},
       .uses_churn = true,
       .step = euler_step},
      {.name = "euler_ancestral",
       .aliases = {"euler_a", "euler a", "EulerAncestralDiscreteScheduler"},
       .description = "Euler with new noise in every step",
       .grid = Grid::Euler,
       .schedules = kAllSchedules,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity},
       .config_schedule = false,
       .step = euler_ancestral_step},
      {.name = "heun",
       .aliases = {"HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"},
       .description = "second order, two evaluations a step",
       .grid = Grid::Heun,
       .schedules = kAllSchedules,
       .flow_schedules = kAllSchedules,
       .predictions = {Epsilon, Velocity, Sample, Flow},
       .uses_churn = true,
       .defaults = &kLatentSigmaDefaults,
       .step = heun_step},
      {.name = "dpm2",
       .aliases = {"dpm_2", "KDPM2DiscreteScheduler"},
       .description = "DPM-Solver-2, two evaluations a step",
       .grid = Grid::Dpm2,
       .schedules = kAllSchedules,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity},
       .defaults = &kLatentSigmaDefaults,
       .step = dpm2_step},
      {.name = "dpm2_ancestral",
       .aliases = {"dpm_2_ancestral", "dpm2_a", "dpm2 a", "KDPM2AncestralDiscreteScheduler"},
       .description = "DPM-Solver-2 with new noise in every step",
       .grid = Grid::Dpm2Ancestral,
       .schedules = kAllSchedules,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity},
       .defaults = &kLatentSigmaDefaults,
       .step = dpm2_ancestral_step},
      {.name = "dpmpp_2m",
       .aliases = {"dpm++ 2m", "DPMSolverMultistepScheduler"},
       .description = "DPM-Solver++ multistep; good in few steps",
       .grid = Grid::Dpm,
       .schedules = kAllSchedules,
       .flow_schedules = {"normal"},
       .predictions = {Epsilon, Velocity, Sample, Flow},
       .step = dpmpp_2m_step},
      {.name = "dpmpp_2m_sde",
       .aliases = {"dpm++ 2m sde"},
       .description = "DPM-Solver++ multistep with new noise in every step",
       .grid = Grid::Dpm,
       .schedules = kAllSchedules,
       .flow_schedules = {"normal"},
       .predictions = {Epsilon, Velocity, Sample, Flow},
       .step = dpmpp_2m_step},
      {.name = "dpmpp_sde",
       .aliases = {"dpm++ sde", "DPMSolverSDEScheduler"},
       .description = "DPM-Solver++ SDE, two evaluations a step; noise by seed and step",
       .grid = Grid::DpmSde,
       .schedules = kAllSchedules,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity},
       .defaults = &kLatentSigmaDefaults,
       .step = dpmpp_sde_step},
      {.name = "dpmpp_2s_ancestral",
       .aliases = {"dpmpp_2s_a", "dpm++ 2s a", "dpm++ 2s ancestral"},
       .description = "DPM-Solver++ 2S with new noise in every step, two evaluations a step",
       .grid = Grid::Dpm2s,
       .schedules = kAllSchedules,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity, Sample},
       .uses_eta = true,
       .step = dpmpp_2s_ancestral_step},
      {.name = "lms",
       .aliases = {"LMSDiscreteScheduler"},
       .description = "linear multistep of order 4",
       .grid = Grid::Euler,
       .schedules = kAllSchedules,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity, Sample},
       .step = lms_step},
      {.name = "ddim",
       .aliases = {"DDIMScheduler"},
       .description = "deterministic with eta 0, as DDPM with eta 1",
       .grid = Grid::Ddim,
       .schedules = kOwnGrid,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity, Sample},
       .uses_eta = true,
       .defaults = &kTimestepDefaults,
       .step = ddim_step},
      {.name = "ddpm",
       .aliases = {"DDPMScheduler"},
       .description = "the original ancestral sampler; wants many steps",
       .grid = Grid::Ddim,
       .schedules = kOwnGrid,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity, Sample},
       .defaults = &kTimestepDefaults,
       .step = ddpm_step},
      {.name = "pndm",
       .aliases = {"plms", "PNDMScheduler"},
       .description = "linear multistep on the noise; two evaluations in the first step",
       .grid = Grid::Pndm,
       .schedules = kOwnGrid,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity},
       .defaults = &kPndmDefaults,
       .step = pndm_step},
      {.name = "unipc",
       .aliases = {"uni_pc", "UniPCMultistepScheduler"},
       .description = "unified predictor-corrector; good in few steps",
       .grid = Grid::UniPc,
       .schedules = kAllSchedules,
       .flow_schedules = {"normal", "karras"},
       .predictions = {Epsilon, Velocity, Sample, Flow},
       .step = unipc_step},
      {.name = "deis",
       .aliases = {"DEISMultistepScheduler"},
       .description = "exponential integrator in log rho",
       .grid = Grid::Deis,
       .schedules = kAllSchedules,
       .flow_schedules = {"normal"},
       .predictions = {Epsilon, Velocity, Sample, Flow},
       .step = deis_step},
      {.name = "lcm",
       .aliases = {"LCMScheduler", "FlowMatchLCMScheduler"},
       .description = "for models distilled to consistency: 1 to 8 steps, also for flow models",
       .grid = Grid::Lcm,
       .schedules = kOwnGrid,
       .flow_schedules = kAllSchedules,
       .predictions = {Epsilon, Velocity, Sample, Flow},
       .defaults = &kDistilledDefaults,
       .step = lcm_step},
      {.name = "tcd",
       .aliases = {"TCDScheduler"},
       .description = "for models distilled to trajectory consistency; eta is gamma",
       .grid = Grid::Lcm,
       .schedules = kOwnGrid,
       .flow_schedules = kNoFlow,
       .predictions = {Epsilon, Velocity, Sample},
       .uses_eta = true,
       .defaults = &kDistilledDefaults,
       .step = tcd_step},
  };
}

const std::vector<SamplerRow>& table() {
  static const std::vector<SamplerRow> rows = make_table();
  return rows;
}

}  // namespace

std::span<const SamplerRow> samplers() { return table(); }

const SamplerRow& find_sampler(std::string_view name) {
  const std::string wanted = lower_case(name);
  Names names;
  for (const SamplerRow& row : table()) {
    const auto matches = [&](std::string_view alias) { return lower_case(alias) == wanted; };
    if (row.name == wanted || std::any_of(row.aliases.begin(), row.aliases.end(), matches))
      return row;
    names.push_back(row.name);
  }
  throw InvalidRequest(unknown_name_message("sampler", name, names));
}

Step begin_step(const StepContext& context, Tensor latents, History& history) {
  const PlanDetails& plan = context.plan.details();
  SDRBEE_CHECK(context.step >= 0 && context.step < plan.steps);
  SDRBEE_CHECK_SHAPE(latents, {-1, -1, -1, -1});
  Step step = plan.row->step(context, std::move(latents), history);
  step.rethrow();
  return step;
}

}  // namespace sdrbee::sampling
