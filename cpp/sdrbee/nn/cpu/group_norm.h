// Group normalisation of channels-last pictures, with what stands around it in residual blocks.
#pragma once

#include <optional>

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn::cpu {

/// The constants of a group normalisation.
struct GroupNormWeights {
  const Tensor& weight;  ///< [C]
  const Tensor& bias;    ///< [C]
  int64_t groups;
  double eps;
};

/// Whether group_norm can take `x`: fp32 or bf16 on the CPU, channels last in memory.
bool has_group_norm(const Tensor& x);

/// norm(x + shift) * weight + bias, through silu where `silu` is set; two passes over x, nothing
/// else is stored. Overwrites x where the caller gives it up and nothing else holds it. `shift` is
/// [B, C] or undefined. Sums are taken in fp32 relative to a pixel of each part and joined in
/// double, in an order that depends on the shape only: the result is the same for every thread
/// count.
Tensor group_norm(Tensor x, const Tensor& shift, const GroupNormWeights& weights, bool silu);

}  // namespace sdrbee::nn::cpu
