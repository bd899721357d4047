// What a network predicts and how the clean sample follows from it.
#pragma once

#include <string>
#include <string_view>

#include "sdrbee/core/tensor.h"

namespace sdrbee::sampling {

/// What the raw output of a network means.
enum class PredictionType {
  Epsilon,   ///< the noise
  Velocity,  ///< alpha * noise - sigma * clean (Salimans & Ho 2022, arXiv:2202.00512)
  Sample,    ///< the clean sample
  Flow,      ///< noise - clean, for the path x = (1 - sigma) * clean + sigma * noise
};

/// The name in recipes and messages: diffusers' `prediction_type`.
std::string prediction_name(PredictionType type);

/// The type of a name: diffusers' names and the short ones (eps, v, x0, flow).
/// Throws InvalidRequest that lists the names.
PredictionType parse_prediction(std::string_view name);

/// Scale of the clean sample and of the noise in x = alpha * clean + sigma * noise.
struct Mix {
  float alpha = 1;
  float sigma = 0;
};

/// The mix of a variance-preserving sample at noise-to-signal ratio `sigma`.
Mix variance_preserving_mix(float sigma);

/// The clean sample that `raw` implies for `x` = alpha * clean + sigma * noise.
Tensor clean_from(PredictionType type, const Tensor& raw, const Tensor& x, Mix mix);

/// The noise that `raw` implies for `x` = alpha * clean + sigma * noise.
Tensor noise_from(PredictionType type, const Tensor& raw, const Tensor& x, Mix mix);

/// The clean sample that `raw` implies for the variance-exploding `x` = clean + sigma * noise
/// (Karras et al. 2022, arXiv:2206.00364); the network saw x / sqrt(sigma^2 + 1).
Tensor clean_from_exploding(PredictionType type, const Tensor& raw, const Tensor& x, float sigma);

/// Dynamic thresholding per picture (Saharia et al. 2022, arXiv:2205.11487, section 2.3):
/// clamps to the `ratio` quantile of the absolute values, itself within 1..`max_value`, and
/// divides by it.
Tensor dynamic_threshold(const Tensor& clean, double ratio, double max_value);

}  // namespace sdrbee::sampling
