// scheduler_config.json of a model folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/json.h"

namespace sdrbee::sampling {

/// What the model folder's scheduler_config.json says, under diffusers' names. A field that the
/// file does not name is empty: its default depends on the sampler that is used in the end, as in
/// diffusers' `OtherScheduler.from_config(config)`.
struct SchedulerConfig {
  std::string class_name;  ///< `_class_name`; empty: a sampler must be chosen

  // The training noise.
  std::optional<int64_t> num_train_timesteps;
  std::optional<double> beta_start;
  std::optional<double> beta_end;
  std::optional<std::string> beta_schedule;
  std::vector<double> trained_betas;
  std::optional<std::string> prediction_type;
  bool rescale_betas_zero_snr = false;

  // The grid.
  std::optional<std::string> timestep_spacing;
  std::optional<int64_t> steps_offset;
  bool use_karras_sigmas = false;
  bool use_exponential_sigmas = false;
  bool use_beta_sigmas = false;
  std::optional<double> sigma_min;
  std::optional<double> sigma_max;
  std::optional<std::string> final_sigmas_type;
  std::optional<double> lambda_min_clipped;
  std::optional<int64_t> original_inference_steps;

  // The solver.
  std::optional<int64_t> solver_order;
  std::optional<int64_t> predictor_order;
  std::optional<int64_t> corrector_order;
  std::optional<std::string> algorithm_type;
  std::optional<std::string> solver_type;
  std::optional<bool> lower_order_final;
  bool euler_at_final = false;
  bool predict_x0 = true;
  std::vector<int64_t> disable_corrector;
  std::optional<std::string> variance_type;
  std::optional<bool> set_alpha_to_one;
  std::optional<double> timestep_scaling;

  // Clipping of the clean estimate.
  std::optional<bool> clip_sample;
  double clip_sample_range = 1;
  bool thresholding = false;
  double dynamic_thresholding_ratio = 0.995;
  double sample_max_value = 1;

  // Flow models.
  std::optional<double> shift;  ///< `shift` or `flow_shift`
  bool use_dynamic_shifting = false;
  std::string time_shift_type = "exponential";
  // The dynamic shift's mu goes from `base_shift` to `max_shift` between these numbers of tokens.
  double base_shift = 0.5;
  double max_shift = 1.15;
  int64_t base_image_seq_len = 256;
  int64_t max_image_seq_len = 4096;
  std::optional<double> shift_terminal;
  bool stochastic_sampling = false;
  /// Before the shift the noise levels of N steps fall from 1 to 1/N, which pipelines of some
  /// families ask of the scheduler; else the levels are the scheduler's own. Families set this, no
  /// file does.
  bool whole_flow = false;

  /// Options that are set in the file and not supported, as "key = value".
  std::vector<std::string> unsupported;

  /// Reads the file's object; keys that no sampler knows are ignored.
  /// Throws CheckpointError naming file and key when a value has the wrong type.
  static SchedulerConfig from_json(const io::Config& file);

  /// The mu of `use_dynamic_shifting` for a picture of `tokens` tokens (Esser et al. 2024,
  /// arXiv:2403.03206, section 5.3.2, in diffusers' form).
  double dynamic_shift(int64_t tokens) const;
};

}  // namespace sdrbee::sampling
