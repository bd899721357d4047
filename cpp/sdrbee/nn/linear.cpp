#include "sdrbee/nn/linear.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/cpu/packed_weights.h"

namespace sdrbee::nn {
namespace {

using cpu::LinearEnding;

std::function<Tensor()> promise_matrix(const io::WeightScope& scope, int64_t in, int64_t out) {
  const auto info = scope.find("weight");
  if (info && info->shape == std::vector<int64_t>{out, in, 1, 1}) {
    return [weight = scope.promise("weight", {out, in, 1, 1}), in, out] {
      return weight().view({out, in});
    };
  }
  return scope.promise("weight", {out, in});
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

Linear::Linear(const io::WeightScope& scope, int64_t in, int64_t out, bool bias) {
  auto weight = promise_matrix(scope, in, out);
  if (bias) bias_ = scope.take("bias", {out});
  scope.put_off(
      [layer = *this, weight = std::move(weight)]() mutable { layer.replace_weight(weight()); });
}

void Linear::replace_weight(const Tensor& weight) {
  SDRBEE_CHECK(!weight_->values.defined() || weight.sizes() == weight_->values.sizes());
  weight_->packed = cpu::can_pack(weight);
  weight_->values = weight_->packed ? cpu::pack_matrix(weight) : weight;
}

Tensor Linear::operator()(const Tensor& x) const {
  return weight_->packed ? cpu::run_matrix(x, weight_->values, bias_)
                         : at::linear(x, weight_->values, bias_);
}

Tensor Linear::add(const Tensor& x, const Tensor& residual) const {
  if (weight_->packed)
    return cpu::run_matrix(x, weight_->values, bias_, LinearEnding::Add, residual);
  return (*this)(x).add_(residual);
}

Tensor Linear::multiplied(const Tensor& x, const Tensor& factor) const {
  if (weight_->packed)
    return cpu::run_matrix(x, weight_->values, bias_, LinearEnding::Multiply, factor);
  return (*this)(x).mul_(factor);
}

Tensor Linear::activated(const Tensor& x, Activation activation) const {
  const auto ending = ending_of(activation);
  if (weight_->packed && ending) return cpu::run_matrix(x, weight_->values, bias_, *ending);
  return activate(activation, (*this)(x));
}

Geglu::Geglu(const io::WeightScope& scope, int64_t in, int64_t out)
    : Geglu((scope / "proj").take("bias", {2 * out})) {
  const io::WeightScope proj = scope / "proj";
  proj.put_off([layer = *this, weight = proj.promise("weight", {2 * out, in})]() mutable {
    layer.replace_weight(weight());
  });
}

Geglu::Geglu(const Tensor& bias) : value_(bias.chunk(2)[0]), gate_(bias.chunk(2)[1]) {}

void Geglu::replace_weight(const Tensor& weight) {
  value_.replace_weight(weight.chunk(2)[0]);
  gate_.replace_weight(weight.chunk(2)[1]);
}

Tensor Geglu::operator()(const Tensor& x) const {
  return value_.multiplied(x, gate_.activated(x, Activation::Gelu));
}

}  // namespace sdrbee::nn
