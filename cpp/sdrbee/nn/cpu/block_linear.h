// The product with a matrix in quantised blocks, which is expanded piece by piece in the cache.
#pragma once

#include "sdrbee/io/ggml_type.h"

namespace sdrbee::nn::cpu {

/// Whether block_linear can take such a weight and such an input on this machine: bf16 on the CPU
/// with AVX512-BF16, quantised rows that are whole blocks and that nothing is added to.
bool has_block_linear(const Tensor& x, const io::QuantisedTensor& weight);

/// x W^T + bias for x [rows, in], a weight [out, in] (or [out, in, 1, 1]) and a bias [out] or
/// undefined -> [rows, out]. Weights are rounded to bf16, products are summed in fp32. Nothing as
/// large as the weight is allocated; the result does not depend on the thread count.
Tensor block_linear(const Tensor& x, const io::QuantisedTensor& weight, const Tensor& bias);

}  // namespace sdrbee::nn::cpu
