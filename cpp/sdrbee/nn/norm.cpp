#include "sdrbee/nn/norm.h"

#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>

#include "sdrbee/core/error.h"
#include "sdrbee/nn/cpu/group_norm.h"
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
  return normalise(channels_last(x), {}, /*silu=*/false);
}

Tensor GroupNorm::silu(const Tensor& x) const {
  return normalise(channels_last(x), {}, /*silu=*/true);
}

Tensor GroupNorm::silu(const Tensor& x, const Tensor& shift) const {
  return normalise(channels_last(x), shift, /*silu=*/true);
}

Tensor GroupNorm::normalise(const Tensor& x, const Tensor& shift, bool silu) const {
  if (cpu::has_group_norm(x)) {
    return cpu::group_norm(
        x, shift, {.weight = weight_, .bias = bias_, .groups = groups_, .eps = eps_}, silu);
  }
  // [B, C] -> [B, C, 1, 1]
  const Tensor shifted = shift.defined() ? x.add(shift.unsqueeze(-1).unsqueeze(-1)) : x;
  Tensor y = channels_last(at::group_norm(shifted, groups_, weight_, bias_, eps_));
  return silu ? at::silu_(y) : y;
}

LayerNorm::LayerNorm(const io::WeightScope& scope, int64_t width, double eps)
    : weight_(scope.take("weight", {width})), bias_(scope.take("bias", {width})), eps_(eps) {}

Tensor LayerNorm::operator()(const Tensor& x) const {
  return at::layer_norm(x, weight_.sizes(), weight_, bias_, eps_);
}

}  // namespace sdrbee::nn
