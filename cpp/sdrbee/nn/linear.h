// The fully connected layer.
#pragma once

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/activation.h"

namespace sdrbee::nn {

/// y = x W^T + b over the last dimension: [..., in] -> [..., out].
///
/// A weight that the file stores as a 1x1 convolution [out, in, 1, 1] is the same matrix and is
/// taken as one: checkpoints differ in how they write the projections of attention.
class Linear {
 public:
  /// Takes `weight` and, with `bias`, `bias`. Throws CheckpointError.
  Linear(const io::WeightScope& scope, int64_t in, int64_t out, bool bias = true);

  Tensor operator()(const Tensor& x) const;

  /// (*this)(x) + residual, the end of a residual branch.
  Tensor add(const Tensor& x, const Tensor& residual) const;

  /// activation((*this)(x)).
  Tensor activated(const Tensor& x, Activation activation) const;

 private:
  Tensor weight_;  // [out, in]
  Tensor bias_;    // [out], or undefined
};

/// The gated linear unit with GELU: x W1^T + b1 times gelu(x W2^T + b2), [..., in] -> [..., out].
/// Shazeer 2020, arXiv:2002.05202, eq. 6.
class Geglu {
 public:
  /// Takes `proj`, whose rows are those of W1, then those of W2. Throws CheckpointError.
  Geglu(const io::WeightScope& scope, int64_t in, int64_t out);

  Tensor operator()(const Tensor& x) const;

 private:
  Linear proj_;
};

}  // namespace sdrbee::nn
