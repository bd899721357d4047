#include <algorithm>
#include <cmath>

#include "sdrbee/core/error.h"
#include "sdrbee/sampling/grid.h"
#include "sdrbee/sampling/names.h"
#include "sdrbee/sampling/plan.h"
#include "sdrbee/sampling/plan_details.h"
#include "sdrbee/sampling/samplers.h"
#include "sdrbee/sampling/schedules.h"

namespace sdrbee::sampling {
namespace {

constexpr int64_t kMaxSteps = 10'000;
constexpr std::string_view kOwnSigmas = "custom";

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const SamplerRow& choose_sampler(const SchedulerConfig& config, const SamplerOptions& options) {
  if (options.sampler) return find_sampler(*options.sampler);
  const bool sde = config.algorithm_type.value_or("").starts_with("sde-");
  if (config.class_name == "DPMSolverMultistepScheduler" && sde)
    return find_sampler("dpmpp_2m_sde");
  std::vector<std::string_view> names;
  for (const SamplerRow& row : samplers()) {
    if (contains(row.aliases, config.class_name)) return row;
    names.push_back(row.name);
  }
  throw UnsupportedModel(message("[scheduler_config.json] _class_name '", config.class_name,
                                 "' is not supported; choose a sampler: ", joined(names)));
}

PredictionType choose_prediction(const SchedulerConfig& config, const SamplerOptions& options,
                                 const SamplerRow& row) {
  PredictionType type = PredictionType::Epsilon;
  if (options.prediction)
    type = parse_prediction(*options.prediction);
  else if (config.prediction_type)
    type = parse_prediction(*config.prediction_type);
  else if (config.class_name.starts_with("FlowMatch"))
    type = PredictionType::Flow;
  if (std::find(row.predictions.begin(), row.predictions.end(), type) == row.predictions.end()) {
    std::string allowed;
    for (const PredictionType possible : row.predictions)
      allowed += (allowed.empty() ? "" : ", ") + prediction_name(possible);
    throw InvalidRequest(message("[prediction] sampler ", row.name, " expected ", allowed,
                                 " but got ", prediction_name(type)));
  }
  return type;
}

std::string_view config_schedule(const SchedulerConfig& config) {
  if (config.use_karras_sigmas) return "karras";
  if (config.use_exponential_sigmas) return "exponential";
  if (config.use_beta_sigmas) return "beta";
  return "normal";
}

std::string choose_schedule(const SchedulerConfig& config, const SamplerOptions& options,
                            const SamplerRow& row, bool flow) {
  const std::vector<std::string_view>& allowed = flow ? row.flow_schedules : row.schedules;
  if (!options.sigmas.empty() && !flow) {
    if (options.schedule && *options.schedule != kOwnSigmas)
      throw InvalidRequest(
          message("[sigmas] own sigmas replace the schedule; expected no schedule "
                  "but got '",
                  *options.schedule, "'"));
    return std::string(kOwnSigmas);
  }
  if (!options.schedule) {
    const std::string_view preset = config_schedule(config);
    return std::string(row.config_schedule && contains(allowed, preset) ? preset : allowed.front());
  }
  const std::string_view name = find_schedule(*options.schedule).name;
  if (!contains(allowed, name))
    throw InvalidRequest(message("[schedule] sampler ", row.name, flow ? " on a flow model" : "",
                                 " expected ", joined(allowed), " but got ", name));
  return std::string(name);
}

/// Whether the timestep spacing makes a difference to the plan.
bool uses_spacing(const PlanDetails& plan) {
  if (plan.is_flow() || plan.row->grid == Grid::Lcm) return false;
  return plan.schedule == kOwnSigmas || find_schedule(plan.schedule).uses_spacing;
}

void choose_spacing(PlanDetails& plan, const SamplerOptions& options) {
  std::string& spacing = *plan.config.timestep_spacing;
  const bool chosen = options.spacing && !options.spacing->empty();
  if (chosen) spacing = lower_case(*options.spacing);
  const auto known = spacings();
  if (std::find(known.begin(), known.end(), spacing) == known.end())
    throw InvalidRequest(unknown_name_message("spacing", spacing, known));
  if (uses_spacing(plan))
    plan.spacing = spacing;
  else if (chosen)
    throw InvalidRequest(message("[spacing] has no effect on sampler ", plan.sampler,
                                 " with schedule ", plan.schedule, "; leave it out (got '",
                                 *options.spacing, "')"));
  plan.unit_variance = uses_spacing(plan) && spacing == "leading";
}

/// Fills in what scheduler_config.json leaves open with the defaults of the sampler's class.
SchedulerConfig with_defaults(SchedulerConfig config, const SamplerRow& row) {
  const ClassDefaults& defaults = *row.defaults;
  const auto fill = [](auto& field, auto value) {
    if (!field) field = value;
  };
  fill(config.num_train_timesteps, int64_t{1000});
  fill(config.beta_start, defaults.beta_start);
  fill(config.beta_end, defaults.beta_end);
  fill(config.beta_schedule, std::string(defaults.beta_schedule));
  fill(config.timestep_spacing, std::string(defaults.spacing));
  fill(config.steps_offset, int64_t{0});
  fill(config.final_sigmas_type, std::string("zero"));
  fill(config.original_inference_steps, int64_t{50});
  fill(config.solver_order, int64_t{2});
  fill(config.predictor_order, int64_t{2});
  fill(config.corrector_order, int64_t{2});
  fill(config.lower_order_final, true);
  fill(config.set_alpha_to_one, defaults.set_alpha_to_one);
  fill(config.clip_sample, defaults.clip_sample);
  fill(config.timestep_scaling, 10.0);
  fill(config.variance_type, std::string("fixed_small"));
  fill(config.shift, 1.0);
  const bool sde = row.name == "dpmpp_2m_sde";
  const std::string algorithm = config.algorithm_type.value_or("");
  if (algorithm != "dpmsolver" && algorithm != "sde-dpmsolver") config.algorithm_type.reset();
  if (algorithm.starts_with("sde-") != sde) config.algorithm_type.reset();
  fill(config.algorithm_type, std::string(sde ? "sde-dpmsolver++" : "dpmsolver++"));
  fill(config.solver_type, std::string());
  if (!config.trained_betas.empty())
    config.num_train_timesteps = static_cast<int64_t>(config.trained_betas.size());
  return config;
}

void check_config(const PlanDetails& plan) {
  const SchedulerConfig& config = plan.config;
  const auto reject = [](std::string_view key, const auto& value, std::string_view expected) {
    throw UnsupportedModel(message("[scheduler_config.json] ", key, ": expected ", expected,
                                   " but got '", value, "'"));
  };
  if (!config.unsupported.empty())
    throw UnsupportedModel(
        message("[scheduler_config.json] not supported: ", config.unsupported.front()));
  if (*config.final_sigmas_type != "zero" && *config.final_sigmas_type != "sigma_min")
    reject("final_sigmas_type", *config.final_sigmas_type, "zero or sigma_min");
  if (*config.solver_order < 1 || *config.solver_order > 3)
    reject("solver_order", *config.solver_order, "1, 2 or 3");
  if (*config.solver_order == 3 && *config.algorithm_type == "sde-dpmsolver")
    reject("solver_order", 3, "1 or 2 with algorithm_type sde-dpmsolver");
  for (const auto& [key, order] : {std::pair{"predictor_order", *config.predictor_order},
                                   {"corrector_order", *config.corrector_order}})
    if (order < 1 || order > 4) reject(key, order, "1 to 4");
  if (*config.original_inference_steps < 1)
    reject("original_inference_steps", *config.original_inference_steps, "at least 1");
  if (*config.num_train_timesteps < 2)
    reject("num_train_timesteps", *config.num_train_timesteps, "at least 2");
  const std::string& variance = *config.variance_type;
  const bool known_variance =
      variance == "fixed_small" || variance == "fixed_small_log" || variance == "fixed_large";
  if (plan.row->name == "ddpm" && !known_variance)
    reject("variance_type", variance, "fixed_small, fixed_small_log or fixed_large");
  const bool noise_form = plan.row->grid == Grid::Dpm && !config.algorithm_type->ends_with("++");
  if (noise_form && *config.final_sigmas_type == "zero")
    reject("final_sigmas_type", "zero", "sigma_min with algorithm_type " + *config.algorithm_type);
  if (plan.row->grid == Grid::UniPc && !config.predict_x0 && *config.final_sigmas_type == "zero")
    reject("final_sigmas_type", "zero", "sigma_min with predict_x0 = false");
  if (config.time_shift_type != "exponential" && config.time_shift_type != "linear")
    reject("time_shift_type", config.time_shift_type, "exponential or linear");
}

void check_range(std::string_view field, double value, double min, double max,
                 std::string_view range) {
  if (!(value >= min && value <= max))
    throw InvalidRequest(message("[", field, "] expected ", range, " but got ", value));
}

std::string samplers_that(bool SamplerRow::*uses) {
  std::vector<std::string_view> names;
  for (const SamplerRow& row : samplers())
    if (row.*uses) names.push_back(row.name);
  return joined(names);
}

void check_noise_options(const PlanDetails& plan, const SamplerOptions& options) {
  if (options.eta) check_range("eta", *options.eta, 0, 1, "0..1");
  if (options.eta.value_or(0) != 0 && !plan.row->uses_eta)
    throw InvalidRequest(message("[eta] sampler ", plan.sampler, " has no eta (got ", *options.eta,
                                 "); it belongs to ", samplers_that(&SamplerRow::uses_eta)));
  check_range("s_churn", options.s_churn, 0, 1e6, "at least 0");
  check_range("s_noise", options.s_noise, 0, 1e6, "at least 0");
  const bool heun = plan.row->grid == Grid::Heun;
  const bool churns = plan.row->uses_churn && plan.is_flow() == heun;
  if (options.s_churn != 0 && !churns)
    throw InvalidRequest(message("[s_churn] expected 0 with sampler ", plan.sampler,
                                 plan.is_flow() ? " on a flow model" : "", " but got ",
                                 options.s_churn,
                                 "; euler on diffusion models and heun on flow models have it"));
}

void check_sigmas(const PlanDetails& plan, const SamplerOptions& options) {
  if (options.sigmas.empty()) return;
  const bool flow = plan.is_flow();
  const bool has_sigmas =
      flow ? contains(plan.row->flow_schedules, "simple") || plan.row->grid == Grid::UniPc
           : plan.row->has_schedules();
  if (!has_sigmas)
    throw InvalidRequest(
        message("[sigmas] sampler ", plan.sampler, " has its own grid; leave sigmas out"));
  if (!flow && options.sigmas.size() < 2)
    throw InvalidRequest("[sigmas] expected at least two values, the last one usually 0");
  for (size_t i = 0; i < options.sigmas.size(); ++i) {
    const double sigma = options.sigmas[i];
    const bool last = !flow && i + 1 == options.sigmas.size();
    if (!std::isfinite(sigma) || sigma < 0 || (sigma == 0 && !last) ||
        (i > 0 && sigma >= options.sigmas[i - 1]))
      throw InvalidRequest(message("[sigmas] expected falling positive values",
                                   flow ? "" : ", the last one at least 0", " but got ", sigma,
                                   " at index ", i));
  }
}

double eta_of(const PlanDetails& plan, const SamplerOptions& options) {
  if (!plan.row->uses_eta) return 0;
  return options.eta.value_or(plan.row->default_eta);
}

void check_rho(const PlanDetails& plan, const SamplerOptions& options) {
  if (!options.rho) return;
  check_range("rho", *options.rho, 0.01, 100, "0.01..100");
  if (plan.schedule != "karras" && plan.schedule != "polyexponential")
    throw InvalidRequest(message("[rho] schedule ", plan.schedule,
                                 " has no rho; it belongs to karras and polyexponential"));
}

void check_flow(const PlanDetails& plan, const SamplerOptions& options) {
  if (plan.config.use_dynamic_shifting && !options.mu)
    throw InvalidRequest(
        "[mu] this model shifts its noise levels by the picture's size and needs "
        "mu");
}

}  // namespace

Plan make_plan(const SchedulerConfig& config, const SamplerOptions& options, int64_t steps) {
  if (options.sigmas.empty() && (steps < 1 || steps > kMaxSteps))
    throw InvalidRequest(message("[steps] expected 1..", kMaxSteps, " but got ", steps));
  auto plan = std::make_shared<PlanDetails>();
  plan->row = &choose_sampler(config, options);
  plan->sampler = plan->row->name;
  plan->config = with_defaults(config, *plan->row);
  plan->prediction_type = choose_prediction(config, options, *plan->row);
  plan->prediction = prediction_name(plan->prediction_type);
  plan->schedule = choose_schedule(config, options, *plan->row, plan->is_flow());
  choose_spacing(*plan, options);
  check_config(*plan);
  check_noise_options(*plan, options);
  check_sigmas(*plan, options);
  check_range("distilled_strength", options.distilled_strength, 0, 1, "0..1");
  check_range("strength", options.strength, 0, 1, "0..1");
  check_rho(*plan, options);
  plan->eta = eta_of(*plan, options);
  plan->s_churn = options.s_churn;
  plan->s_noise = options.s_noise;
  plan->distilled_strength = options.distilled_strength;
  plan->rho = options.rho;
  plan->from_strength =
      options.strength < 1 && (begins_at_strength(plan->row->grid) || plan->schedule == "turbo");
  const bool dpm_family = plan->row->grid == Grid::Dpm || plan->row->grid == Grid::UniPc ||
                          plan->row->grid == Grid::Deis;
  if (!plan->is_flow() || dpm_family) {
    plan->training =
        training_noise(plan->config, plan->row->has_schedules() || plan->row->grid == Grid::Pndm);
  }
  if (plan->is_flow()) {
    check_flow(*plan, options);
    lay_out_flow(*plan, options, steps);
  } else {
    lay_out(*plan, options, steps);
  }
  return Plan(std::move(plan));
}

}  // namespace sdrbee::sampling
