// Adaptive layer norm: shifts, scales and gates that a transformer computes from its conditioning.
// Peebles and Xie 2022, arXiv:2212.09748, section 3.2.
#pragma once

#include <vector>

#include "sdrbee/nn/linear.h"

namespace sdrbee::nn {

/// A linear layer whose output is cut into several vectors of the width of the tokens.
class Modulation {
 public:
  /// Takes `linear` [parts * width, width]. Throws CheckpointError.
  Modulation(const io::WeightScope& scope, int64_t width, int64_t parts);

  /// Conditioning [B, width] after the activation -> `parts` tensors [B, 1, width].
  std::vector<Tensor> operator()(const Tensor& activated) const;

 private:
  Linear linear_;
  int64_t parts_;
};

/// What `modulated_norm` does to a normalised token.
struct ScaleAndShift {
  Tensor scale;  ///< [B, 1, C], added to 1
  Tensor shift;  ///< [B, 1, C]
};

/// Layer norm of x [B, N, C] without weights of its own, times 1 + scale, plus shift.
Tensor modulated_norm(const Tensor& x, const ScaleAndShift& modulation);

}  // namespace sdrbee::nn
