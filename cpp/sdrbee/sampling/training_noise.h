// The noise levels that a diffusion model was trained on.
#pragma once

#include <cstdint>
#include <vector>

#include "sdrbee/sampling/scheduler_config.h"

namespace sdrbee::sampling {

/// One entry for each training timestep, rising in noise; fp32 as in diffusers.
struct TrainingNoise {
  std::vector<float> alphas_cumprod;  ///< share of the signal's variance
  std::vector<float> sigmas;          ///< sqrt((1 - alphas_cumprod) / alphas_cumprod)
  std::vector<float> log_sigmas;

  int64_t size() const { return static_cast<int64_t>(sigmas.size()); }
  double sigma_min() const { return sigmas.front(); }
  double sigma_max() const { return sigmas.back(); }

  /// The sigma at a fractional timestep, linear between the entries (numpy.interp).
  double sigma_at(double timestep) const;

  /// The sigma at a fractional timestep, linear in log sigma (k-diffusion's t_to_sigma).
  double log_interpolated_sigma_at(double timestep) const;

  /// The fractional timestep of a sigma, linear in log sigma.
  double timestep_of(double sigma) const;

  /// timestep_of in fp32 arithmetic, as diffusers computes it for the points between two steps.
  float timestep_of_fp32(float sigma) const;
};

/// The training noise of a configuration whose betas are filled in. With zero terminal SNR
/// (Lin et al. 2023, arXiv:2305.08891, algorithm 1) the last share of signal is 0, or 2^-24 when
/// `keep_last_finite`, so that the last sigma is 4096.
/// Throws UnsupportedModel for an unknown beta schedule, CheckpointError for impossible betas.
TrainingNoise training_noise(const SchedulerConfig& config, bool keep_last_finite);

}  // namespace sdrbee::sampling
