// Weights in the blocked layouts of oneDNN: rearranged once at load instead of in every call.
#pragma once

#include "sdrbee/core/tensor.h"
#include "sdrbee/nn/activation.h"

namespace sdrbee::nn::cpu {

/// Whether weights like `weight` can be packed: fp32 on x86-64, bf16 from AVX-512 on, on the CPU,
/// with a libtorch that has oneDNN. All functions below need it.
bool can_pack(const Tensor& weight);

/// Where a convolution moves.
struct ConvolutionSteps {
  int64_t stride = 1;
  int64_t padding = 0;
};

/// A convolution's weight [out, in, kernel, kernel] as an opaque tensor of the same sizes.
Tensor pack_convolution(const Tensor& weight, const ConvolutionSteps& steps);

/// The convolution of `x` [B, in, H, W], channels last in memory, plus `bias` where defined, plus
/// `residual` where defined. The result lies channels last.
Tensor run_convolution(const Tensor& x, const Tensor& packed, const Tensor& bias,
                       const ConvolutionSteps& steps, const Tensor& residual = {});

/// A linear layer's weight [out, in] as an opaque tensor of the same sizes.
Tensor pack_matrix(const Tensor& weight);

/// What happens to x W^T + b before it is written.
enum class LinearEnding {
  None,
  Gelu,      ///< by the error function
  GeluTanh,  ///< by its tanh approximation
  Silu,
  Add,       ///< plus `other`
  Multiply,  ///< times `other`
};

/// ending(x W^T + bias), [..., in] -> [..., out]; `bias` may be undefined, `other` has the shape of
/// the result and is there for Add and Multiply only.
Tensor run_matrix(const Tensor& x, const Tensor& packed, const Tensor& bias,
                  LinearEnding ending = LinearEnding::None, const Tensor& other = {});

}  // namespace sdrbee::nn::cpu
