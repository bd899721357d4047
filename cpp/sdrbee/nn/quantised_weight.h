// Weights that stay quantised in memory and are expanded at every use, some rows at a time.
#pragma once

#include "sdrbee/io/ggml_type.h"

namespace sdrbee::nn {

/// A layer's weight in blocks, as its file stores it.
struct QuantisedWeight {
  io::QuantisedTensor blocks;  // [out, ...]
  Dtype dtype = Dtype::Float;  // of the layer's arithmetic
};

/// x W^T + bias, [..., in] -> [..., out], for a weight of out * in values.
Tensor run_quantised_matrix(const Tensor& x, const QuantisedWeight& weight, const Tensor& bias);

/// The convolution of `x` [B, in, H, W] with a weight [out, in, kernel, kernel], plus `bias` where
/// defined. The result lies channels last.
Tensor run_quantised_convolution(const Tensor& x, const QuantisedWeight& weight, const Tensor& bias,
                                 int64_t stride, int64_t padding);

/// The rows `ids` [...] of a table [count, width] -> [..., width].
Tensor look_up_quantised(const QuantisedWeight& table, const Tensor& ids);

}  // namespace sdrbee::nn
