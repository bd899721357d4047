// Classifier-free guidance.
#pragma once

#include <vector>

#include "sdrbee/models/conditioning.h"
#include "sdrbee/sampling/step.h"

namespace sdrbee {

/// A condition and its weight against the base.
struct WeightedCondition {
  Conditioning conditioning;
  double weight = 1.0;
};

/// What one picture is guided by: `base` is the negative prompt (empty when guidance is off), and
/// the guided prediction is `base + sum weight_i * (condition_i - base)`
/// (Ho and Salimans 2022, arXiv:2207.12598, eq. 6, in diffusers' scaling).
struct GuidedConditions {
  std::optional<Conditioning> base;
  std::vector<WeightedCondition> conditions;

  /// The rows that the network is evaluated on, base first. Without `with_guidance` only the
  /// conditions.
  std::vector<const Conditioning*> rows(bool with_guidance) const;
};

/// Combines the network's raw rows (in the order of GuidedConditions::rows) into one prediction
/// [1, C, h, w]. `rescale` in 0..1 is guidance_rescale (Lin et al. 2023, arXiv:2305.08891, 3.4).
sampling::Prediction guide(const GuidedConditions& conditions, const std::vector<Tensor>& raw_rows,
                           bool with_guidance, double rescale);

}  // namespace sdrbee
