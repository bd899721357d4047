#include "sdrbee/nn/linear.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>

#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/cpu/packed_weights.h"

namespace sdrbee::nn {
namespace {

using cpu::LinearEnding;

/// The shape that the file has the matrix in: some store it as a 1x1 convolution.
std::vector<int64_t> stored_shape(const io::WeightScope& scope, int64_t in, int64_t out) {
  const auto info = scope.find("weight");
  const std::vector<int64_t> kernel = {out, in, 1, 1};
  return info && info->shape == kernel ? kernel : std::vector<int64_t>{out, in};
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
  take_later(scope, in, out);  // first, so that a wrong weight is what an error names
  if (bias) bias_ = scope.take("bias", {out});
}

void Linear::take_later(const io::WeightScope& scope, int64_t in, int64_t out) {
  const std::vector<int64_t> shape = stored_shape(scope, in, out);
  if (auto blocks = scope.promise_blocks("weight", shape)) {
    scope.put_off(
        "weight",
        [layer = *this, blocks = std::move(blocks), dtype = scope.dtype(), in, out]() mutable {
          io::QuantisedTensor stored = blocks();
          stored.shape = {out, in};
          layer.keep_quantised({std::move(stored), dtype});
        },
        remembering(weight_));
    return;
  }
  scope.put_off(
      "weight",
      [layer = *this, weight = scope.promise("weight", shape), in, out]() mutable {
        layer.replace_weight(weight().view({out, in}));
      },
      remembering(weight_));
}

void Linear::keep_quantised(QuantisedWeight weight) { *weight_ = {{}, false, std::move(weight)}; }

void Linear::replace_weight(const Tensor& weight) {
  SDRBEE_CHECK(!weight_->values.defined() || weight.sizes() == weight_->values.sizes());
  const bool packed = cpu::can_pack(weight);
  weight_->values = Tensor();  // the new one can have its memory
  *weight_ = {packed ? cpu::pack_matrix(weight) : weight, packed, std::nullopt};
}

Tensor Linear::operator()(const Tensor& x) const {
  if (weight_->quantised) return run_quantised_matrix(x, *weight_->quantised, bias_);
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
  const auto info = proj.find("weight");
  if (auto blocks = proj.promise_blocks("weight", {2 * out, in});
      blocks && io::has_whole_rows({*info->blocks, info->shape, {}})) {
    proj.put_off(
        "weight",
        [layer = *this, blocks = std::move(blocks), dtype = scope.dtype(), out]() mutable {
          const io::QuantisedTensor stored = blocks();
          layer.value_.keep_quantised({io::narrow_rows(stored, 0, out), dtype});
          layer.gate_.keep_quantised({io::narrow_rows(stored, out, out), dtype});
        },
        remembering_both());
    return;
  }
  proj.put_off(
      "weight",
      [layer = *this, weight = proj.promise("weight", {2 * out, in})]() mutable {
        layer.replace_weight(weight());
      },
      remembering_both());
}

io::LoadQueue::Remember Geglu::remembering_both() const {
  return [value = remembering(value_.weight_), gate = remembering(gate_.weight_)] {
    return [value = value(), gate = gate()] {
      value();
      gate();
    };
  };
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
