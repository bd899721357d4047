#include "sdrbee/sampling/scheduler_config.h"

#include <utility>

namespace sdrbee::sampling {
namespace {

std::optional<double> number(const io::Config& file, std::string_view key) {
  if (!file.has(key)) return std::nullopt;
  return file.double_or(key, 0);
}

std::optional<int64_t> integer(const io::Config& file, std::string_view key) {
  if (!file.has(key)) return std::nullopt;
  return file.int64_or(key, 0);
}

std::optional<bool> flag(const io::Config& file, std::string_view key) {
  if (!file.has(key)) return std::nullopt;
  return file.bool_or(key, false);
}

std::optional<std::string> text(const io::Config& file, std::string_view key) {
  if (!file.has(key)) return std::nullopt;
  return file.string_or(key, "");
}

/// -inf, diffusers' default, means no clipping; JSON has no number for it and files spell it as
/// text or null.
std::optional<double> clipped_lambda(const io::Config& file) {
  constexpr std::string_view kKey = "lambda_min_clipped";
  if (!file.has(kKey) || file.json().at(std::string(kKey)).is_string()) return std::nullopt;
  return file.double_or(kKey, 0);
}

std::vector<std::string> unsupported_options(const io::Config& file) {
  std::vector<std::string> found;
  for (std::string_view key : {"use_lu_lambdas", "invert_sigmas"})
    if (file.bool_or(key, false)) found.push_back(std::string(key) + " = true");
  for (const auto& [key, usual] :
       {std::pair{"interpolation_type", "linear"}, std::pair{"timestep_type", "discrete"}}) {
    const std::string value = file.string_or(key, usual);
    if (value != usual) found.push_back(std::string(key) + " = " + value);
  }
  if (file.string_or("algorithm_type", "") == "noise_prediction")
    found.emplace_back("algorithm_type = noise_prediction");
  for (std::string_view key : {"solver_p", "scale_factors"})
    if (file.has(key)) found.push_back(std::string(key));
  return found;
}

void read_training(const io::Config& file, SchedulerConfig& config) {
  config.num_train_timesteps = integer(file, "num_train_timesteps");
  config.beta_start = number(file, "beta_start");
  config.beta_end = number(file, "beta_end");
  config.beta_schedule = text(file, "beta_schedule");
  config.trained_betas = file.doubles_or("trained_betas", {});
  config.prediction_type = text(file, "prediction_type");
  config.rescale_betas_zero_snr = file.bool_or("rescale_betas_zero_snr", false);
}

void read_grid(const io::Config& file, SchedulerConfig& config) {
  config.timestep_spacing = text(file, "timestep_spacing");
  config.steps_offset = integer(file, "steps_offset");
  config.use_karras_sigmas = file.bool_or("use_karras_sigmas", false);
  config.use_exponential_sigmas = file.bool_or("use_exponential_sigmas", false);
  config.use_beta_sigmas = file.bool_or("use_beta_sigmas", false);
  config.sigma_min = number(file, "sigma_min");
  config.sigma_max = number(file, "sigma_max");
  config.final_sigmas_type = text(file, "final_sigmas_type");
  config.lambda_min_clipped = clipped_lambda(file);
  config.original_inference_steps = integer(file, "original_inference_steps");
}

void read_solver(const io::Config& file, SchedulerConfig& config) {
  config.solver_order = integer(file, "solver_order");
  config.predictor_order = integer(file, "predictor_order");
  config.corrector_order = integer(file, "corrector_order");
  config.algorithm_type = text(file, "algorithm_type");
  config.solver_type = text(file, "solver_type");
  config.lower_order_final = flag(file, "lower_order_final");
  config.euler_at_final = file.bool_or("euler_at_final", false);
  config.predict_x0 = file.bool_or("predict_x0", true);
  config.disable_corrector = file.int64s_or("disable_corrector", {});
  config.variance_type = text(file, "variance_type");
  config.set_alpha_to_one = flag(file, "set_alpha_to_one");
  config.timestep_scaling = number(file, "timestep_scaling");
  config.clip_sample = flag(file, "clip_sample");
  config.clip_sample_range = file.double_or("clip_sample_range", config.clip_sample_range);
  config.thresholding = file.bool_or("thresholding", false);
  config.dynamic_thresholding_ratio =
      file.double_or("dynamic_thresholding_ratio", config.dynamic_thresholding_ratio);
  config.sample_max_value = file.double_or("sample_max_value", config.sample_max_value);
}

void read_flow(const io::Config& file, SchedulerConfig& config) {
  config.shift = number(file, "shift");
  if (!config.shift) config.shift = number(file, "flow_shift");
  config.use_dynamic_shifting = file.bool_or("use_dynamic_shifting", false);
  config.time_shift_type = file.string_or("time_shift_type", config.time_shift_type);
  config.base_shift = file.double_or("base_shift", config.base_shift);
  config.max_shift = file.double_or("max_shift", config.max_shift);
  config.base_image_seq_len = file.int64_or("base_image_seq_len", config.base_image_seq_len);
  config.max_image_seq_len = file.int64_or("max_image_seq_len", config.max_image_seq_len);
  if (config.max_image_seq_len <= config.base_image_seq_len)
    file.reject("max_image_seq_len", "more than 'base_image_seq_len'");
  config.shift_terminal = number(file, "shift_terminal");
  config.stochastic_sampling = file.bool_or("stochastic_sampling", false);
}

}  // namespace

SchedulerConfig SchedulerConfig::from_json(const io::Config& file) {
  SchedulerConfig config;
  config.class_name = file.string_or("_class_name", "");
  read_training(file, config);
  read_grid(file, config);
  read_solver(file, config);
  read_flow(file, config);
  config.unsupported = unsupported_options(file);
  return config;
}

double SchedulerConfig::dynamic_shift(int64_t tokens) const {
  const auto span = static_cast<double>(max_image_seq_len - base_image_seq_len);
  const double slope = (max_shift - base_shift) / span;
  const double offset = base_shift - slope * static_cast<double>(base_image_seq_len);
  return static_cast<double>(tokens) * slope + offset;
}

}  // namespace sdrbee::sampling
