#include "sdrbee/nn/norm.h"

#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/var_mean.h>

#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/nn/cpu/group_norm.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee::nn {

GroupMoments group_moments(const Tensor& x, int64_t groups) {
  const Tensor values = x.to(Dtype::Float).reshape({x.size(0), groups, -1});
  const auto [variance, mean] =
      at::var_mean(values, at::IntArrayRef{2}, /*correction=*/0, /*keepdim=*/true);
  return {.mean = mean.to(at::kCPU, Dtype::Double),
          .variance = variance.to(at::kCPU, Dtype::Double)};
}

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

Tensor GroupNorm::silu(const Tensor& x, const GroupMoments& moments) const {
  // [B, groups, 1] * [groups, C / groups] -> [B, groups, C / groups]
  const auto grouped = [&](const Tensor& values) {
    return values.to(at::kCPU, Dtype::Double).reshape({groups_, -1});
  };
  const Tensor scale = at::rsqrt(moments.variance + eps_) * grouped(weight_);
  const Tensor offset = grouped(bias_) - moments.mean * scale;
  const auto per_channel = [&](const Tensor& values) {  // -> [B, C, 1, 1]
    return values.reshape({values.size(0), -1, 1, 1}).to(x.device(), Dtype::Float);
  };
  Tensor y = channels_last(x).to(Dtype::Float).mul(per_channel(scale)).add_(per_channel(offset));
  return at::silu_(y).to(x.scalar_type());
}

Tensor GroupNorm::silu(Tensor x, const Tensor& shift) const {
  x = channels_last(x);
  return normalise(std::move(x), shift, /*silu=*/true);
}

Tensor GroupNorm::normalise(Tensor x, const Tensor& shift, bool silu) const {
  if (cpu::has_group_norm(x)) {
    return cpu::group_norm(std::move(x), shift,
                           {.weight = weight_, .bias = bias_, .groups = groups_, .eps = eps_},
                           silu);
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

RmsNorm::RmsNorm(const io::WeightScope& scope, int64_t width, double eps)
    : weight_(scope.take("weight", {width})), eps_(eps) {}

Tensor RmsNorm::operator()(const Tensor& x) const {
  const Tensor values = x.to(Dtype::Float);
  const Tensor scale =
      at::rsqrt(values.square().mean(at::IntArrayRef{-1}, /*keepdim=*/true).add_(eps_));
  return values.mul(scale).mul_(weight_).to(x.scalar_type());
}

}  // namespace sdrbee::nn
