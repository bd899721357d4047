// Changing the dtype of large tensors.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// The tensor as `dtype`: the values of `tensor.to(dtype)`, bit by bit. From fp16 to bf16, the way
/// of most checkpoints, ATen goes element by element on one core; with AVX-512 this takes sixteen
/// at a time on all threads.
Tensor cast(const Tensor& tensor, Dtype dtype);

}  // namespace sdrbee
