// The two-dimensional convolution.
#pragma once

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/layer_weight.h"

namespace sdrbee::nn {

/// How a convolution steps over its picture.
struct Conv2dOptions {
  int64_t stride = 1;
  int64_t padding = 0;  ///< zeros added on all four sides
  bool bias = true;
};

/// A convolution with a square kernel: [B, in, H, W] -> [B, out, H', W'], channels last in memory.
class Conv2d {
 public:
  /// Takes `weight` and, with `options.bias`, `bias`. Throws CheckpointError.
  Conv2d(const io::WeightScope& scope, int64_t in, int64_t out, int64_t kernel,
         const Conv2dOptions& options = {});

  Tensor operator()(const Tensor& x) const;

  /// (*this)(x) + residual, the end of a residual branch.
  Tensor add(const Tensor& x, const Tensor& residual) const;

  /// Puts `weight` [out, in, kernel, kernel], of the layer's dtype and device, in the place of the
  /// present one.
  void replace_weight(const Tensor& weight);

 private:
  Tensor convolve(const Tensor& x, const Tensor& residual) const;

  SharedWeight weight_ = make_shared_weight();  // [out, in, kernel, kernel], or channels last
  Tensor bias_;                                 // [out], or undefined
  int64_t stride_;
  int64_t padding_;
};

}  // namespace sdrbee::nn
