// Attention on the CPU that never holds the whole score matrix.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn::cpu {

/// Whether flash_attention can take these tensors on this machine: fp32 with AVX-512, bf16 with
/// AVX512-BF16, on the CPU, heads of up to 256 values, the last dimension dense.
bool has_flash_attention(const Tensor& query, const Tensor& key, const Tensor& value);

/// softmax(query key^T * scale) value, for query [B, Nq, heads, D] and key, value
/// [B, Nk, heads, D] in any strides with the last dimension dense; gives a contiguous
/// [B, Nq, heads, D]. Blocks of scores stay in the cache (Dao et al. 2022, arXiv:2205.14135,
/// algorithm 1); the softmax is exact, in fp32. The result does not depend on the thread count.
Tensor flash_attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale);

}  // namespace sdrbee::nn::cpu
