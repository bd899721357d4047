#include "sdrbee/models/common/add_gated.h"

#include <ATen/ops/addcmul.h>

namespace sdrbee {

Tensor add_gated(const Tensor& x, const Tensor& gate, const Tensor& branch) {
  constexpr double kHalfMax = 65504;
  Tensor sum = at::addcmul(x, gate, branch);
  return sum.scalar_type() == at::kHalf ? sum.clamp_(-kHalfMax, kHalfMax) : sum;
}

}  // namespace sdrbee
