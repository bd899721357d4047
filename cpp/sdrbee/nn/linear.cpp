#include "sdrbee/nn/linear.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/cpu/packed_weights.h"

namespace sdrbee::nn {
namespace {

using cpu::LinearEnding;

Tensor take_matrix(const io::WeightScope& scope, int64_t in, int64_t out) {
  const auto info = scope.find("weight");
  if (info && info->shape == std::vector<int64_t>{out, in, 1, 1})
    return scope.take("weight", {out, in, 1, 1}).view({out, in});
  return scope.take("weight", {out, in});
}

/// The ending that stands for an activation, where there is one.
std::optional<LinearEnding> ending_of(Activation activation) {
  switch (activation) {
    case Activation::Silu:
      return LinearEnding::Silu;
    case Activation::Gelu:
      return LinearEnding::Gelu;
    case Activation::GeluTanh:
      return LinearEnding::GeluTanh;
    case Activation::QuickGelu:
      break;
  }
  return std::nullopt;
}

}  // namespace

Linear::Linear(const io::WeightScope& scope, int64_t in, int64_t out, bool bias)
    : Linear{take_matrix(scope, in, out), bias ? scope.take("bias", {out}) : Tensor()} {}

void Linear::replace_weight(const Tensor& weight) {
  SDRBEE_CHECK(!weight_.defined() || weight.sizes() == weight_.sizes());
  packed_ = cpu::can_pack(weight);
  weight_ = packed_ ? cpu::pack_matrix(weight) : weight;
}

Tensor Linear::operator()(const Tensor& x) const {
  return packed_ ? cpu::run_matrix(x, weight_, bias_) : at::linear(x, weight_, bias_);
}

Tensor Linear::add(const Tensor& x, const Tensor& residual) const {
  if (packed_) return cpu::run_matrix(x, weight_, bias_, LinearEnding::Add, residual);
  return (*this)(x).add_(residual);
}

Tensor Linear::multiplied(const Tensor& x, const Tensor& factor) const {
  if (packed_) return cpu::run_matrix(x, weight_, bias_, LinearEnding::Multiply, factor);
  return (*this)(x).mul_(factor);
}

Tensor Linear::activated(const Tensor& x, Activation activation) const {
  const auto ending = ending_of(activation);
  if (packed_ && ending) return cpu::run_matrix(x, weight_, bias_, *ending);
  return activate(activation, (*this)(x));
}

Geglu::Geglu(const io::WeightScope& scope, int64_t in, int64_t out)
    : Geglu(Parts{(scope / "proj").take("weight", {2 * out, in}),
                  (scope / "proj").take("bias", {2 * out})}) {}

Geglu::Geglu(const Parts& proj)
    : value_(proj.weight.chunk(2)[0], proj.bias.chunk(2)[0]),
      gate_(proj.weight.chunk(2)[1], proj.bias.chunk(2)[1]) {}

void Geglu::replace_weight(const Tensor& weight) {
  value_.replace_weight(weight.chunk(2)[0]);
  gate_.replace_weight(weight.chunk(2)[1]);
}

Tensor Geglu::operator()(const Tensor& x) const {
  return value_.multiplied(x, gate_.activated(x, Activation::Gelu));
}

}  // namespace sdrbee::nn
