// The end of a gated branch of a transformer block.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// x + gate * branch; kept within the range of fp16, which sums of many blocks leave in published
/// weights.
Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& branch);

}  // namespace sdrbee
