// The fully connected layer.
#pragma once

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/activation.h"
#include "sdrbee/nn/layer_weight.h"

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

  /// (*this)(x) * factor, the end of a gated branch.
  Tensor multiplied(const Tensor& x, const Tensor& factor) const;

  /// Takes the weight in blocks, [out, in], which stay quantised and are expanded at every call.
  void keep_quantised(QuantisedWeight weight);

  /// Puts `weight` [out, in], of the layer's dtype and device, in the place of the present one.
  void replace_weight(const Tensor& weight);

 private:
  friend class Geglu;
  explicit Linear(const Tensor& bias) : bias_(bias) {}

  void take_later(const io::WeightScope& scope, int64_t in, int64_t out);

  SharedWeight weight_ = make_shared_weight();  // [out, in], or row-major
  Tensor bias_;                                 // [out], or undefined
};

/// The gated linear unit with GELU: x W1^T + b1 times gelu(x W2^T + b2), [..., in] -> [..., out].
/// Shazeer 2020, arXiv:2002.05202, eq. 6.
class Geglu {
 public:
  /// Takes `proj`, whose rows are those of W1, then those of W2. Throws CheckpointError.
  Geglu(const io::WeightScope& scope, int64_t in, int64_t out);

  Tensor operator()(const Tensor& x) const;

  /// Puts `weight` [2 * out, in], rows as in `proj`, in the place of the present one.
  void replace_weight(const Tensor& weight);

 private:
  explicit Geglu(const Tensor& bias);
  io::LoadQueue::Remember remembering_both() const;

  Linear value_;  // W1: two layers, so that gelu and product are done as the results are written
  Linear gate_;   // W2
};

}  // namespace sdrbee::nn
