#include "sdrbee/nn/norm.h"

#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>

#include "sdrbee/core/error.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee::nn {

GroupNorm::GroupNorm(const io::WeightScope& scope, int64_t groups, int64_t channels, double eps)
    : weight_(scope.take("weight", {channels})),
      bias_(scope.take("bias", {channels})),
      groups_(groups),
      eps_(eps) {
  if (groups < 1 || channels % groups != 0)
    throw UnsupportedModel(message("[", scope.path(), "] expected a number of groups that divides ",
                                   channels, " channels but got ", groups));
}

Tensor GroupNorm::operator()(const Tensor& x) const {
  return channels_last(at::group_norm(channels_last(x), groups_, weight_, bias_, eps_));
}

Tensor GroupNorm::silu(const Tensor& x) const {
  Tensor y = (*this)(x);
  return at::silu_(y);
}

Tensor GroupNorm::silu(const Tensor& x, const Tensor& shift) const {
  return silu(x.add(shift.unsqueeze(-1).unsqueeze(-1)));  // [B, C] -> [B, C, 1, 1]
}

LayerNorm::LayerNorm(const io::WeightScope& scope, int64_t width, double eps)
    : weight_(scope.take("weight", {width})), bias_(scope.take("bias", {width})), eps_(eps) {}

Tensor LayerNorm::operator()(const Tensor& x) const {
  return at::layer_norm(x, weight_.sizes(), weight_, bias_, eps_);
}

}  // namespace sdrbee::nn
