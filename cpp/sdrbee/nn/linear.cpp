#include "sdrbee/nn/linear.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

namespace sdrbee::nn {
namespace {

Tensor take_matrix(const io::WeightScope& scope, int64_t in, int64_t out) {
  const auto info = scope.find("weight");
  if (info && info->shape == std::vector<int64_t>{out, in, 1, 1})
    return scope.take("weight", {out, in, 1, 1}).view({out, in});
  return scope.take("weight", {out, in});
}

}  // namespace

Linear::Linear(const io::WeightScope& scope, int64_t in, int64_t out, bool bias)
    : weight_(take_matrix(scope, in, out)) {
  if (bias) bias_ = scope.take("bias", {out});
}

Tensor Linear::operator()(const Tensor& x) const { return at::linear(x, weight_, bias_); }

Tensor Linear::add(const Tensor& x, const Tensor& residual) const {
  return (*this)(x).add_(residual);
}

Tensor Linear::activated(const Tensor& x, Activation activation) const {
  return activate(activation, (*this)(x));
}

Geglu::Geglu(const io::WeightScope& scope, int64_t in, int64_t out)
    : proj_(scope / "proj", in, 2 * out) {}

Tensor Geglu::operator()(const Tensor& x) const {
  const auto halves = proj_(x).chunk(2, -1);
  return at::gelu(halves[1]).mul_(halves[0]);
}

}  // namespace sdrbee::nn
