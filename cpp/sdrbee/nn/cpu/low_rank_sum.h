// A weight plus a product of two thin matrices, in bf16: what a LoRA makes of a weight.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn::cpu {

/// Whether low_rank_sum can take such a weight on this machine: fp32, fp16 or bf16, dense, on the
/// CPU with AVX512-BF16.
bool has_low_rank_sum(const Tensor& weight);

/// weight [rows, columns] + up [rows, rank] x down [rank, columns] in bf16. The factors are rounded
/// to bf16, the rest is fp32 up to the result, which does not depend on the thread count. It
/// is to be packed or copied soon: its memory may be larger than it is (BlockReuse::ForShort).
Tensor low_rank_sum(const Tensor& weight, const Tensor& up, const Tensor& down);

}  // namespace sdrbee::nn::cpu
