// A weight plus a product of two thin matrices: what a LoRA makes of a weight.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn::cpu {

/// weight [rows, columns] + up [rows, rank] x down [rank, columns] in `dtype`; all on the CPU, the
/// weight dense, the factors fp32. Computed in fp32 and rounded once; for bf16, where the processor
/// has AVX512-BF16, the factors are rounded to bf16 first. The result does not depend on the thread
/// count. In bf16 it is to be packed or copied soon: its memory may be larger than it is
/// (BlockReuse::ForShort).
Tensor low_rank_sum(const Tensor& weight, const Tensor& up, const Tensor& down, Dtype dtype);

}  // namespace sdrbee::nn::cpu
