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
  double share = 1.0;  // the weight where the guidance scale does not act
};

/// Which parts of the guidance act in a step.
struct ActiveGuidance {
  bool contrast = false;  // against the negative prompt
  bool scaled = true;     // by the guidance scale
  bool skipping = false;  // against the network with blocks left out; only beside `contrast`
};

/// What one picture is guided by: `base` is the negative prompt (empty when guidance is off), and
/// the guided prediction is `base + sum weight_i * (condition_i - base)`
/// (Ho and Salimans 2022, arXiv:2207.12598, eq. 6, in diffusers' scaling).
struct GuidedConditions {
  std::optional<Conditioning> base;
  std::vector<WeightedCondition> conditions;
  /// Whether the conditions are parts of one prompt, weighed against each other
  /// (Liu et al. 2022, arXiv:2206.01714, eq. 11): then `base` is there and always acts.
  bool composed = false;
  /// Skip-layer guidance: the first condition with Conditioning::skipped;
  /// `weight * (condition_0 - skipping)` is added to the guided prediction.
  std::optional<WeightedCondition> skipping = {};

  /// The rows that the network is evaluated on: base where it acts, the conditions, and `skipping`
  /// where it acts.
  std::vector<const Conditioning*> rows(const ActiveGuidance& active) const;
};

/// Combines the network's raw rows (in the order of GuidedConditions::rows) into one prediction
/// [1, C, h, w]. `rescale` in 0..1 is guidance_rescale (Lin et al. 2023, arXiv:2305.08891, 3.4).
sampling::Prediction guide(const GuidedConditions& conditions, const std::vector<Tensor>& raw_rows,
                           const ActiveGuidance& active, double rescale);

}  // namespace sdrbee
