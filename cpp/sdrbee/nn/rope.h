// Rotary position embedding. Su et al. 2021, arXiv:2104.09864.
#pragma once

#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn {

/// The rotations of tokens at `positions` [N, axes]: [N, sum(widths) / 2], complex fp32 on the
/// device of `positions`. Axis i turns the next `widths[i] / 2` pairs of a head's channels, pair j
/// by the position times theta^(-2j / widths[i]); angles are computed in fp64. Widths are even.
Tensor rotations(const Tensor& positions, const std::vector<int64_t>& widths, double theta);

/// Turns each pair of neighbouring channels of x [B, N, heads, d] by `rotations` [N, d / 2]; the
/// arithmetic is in fp32, the result of the dtype of `x`.
Tensor rotate(const Tensor& x, const Tensor& rotations);

/// The same for pairs of a channel of the first half with that of the second, as language models
/// of transformers have them.
Tensor rotate_halves(const Tensor& x, const Tensor& rotations);

}  // namespace sdrbee::nn
