#include "sdrbee/nn/cpu/packed_weights.h"

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/cpu_level.h"

namespace sdrbee::nn::cpu {
namespace {

using Scalars = c10::List<std::optional<c10::Scalar>>;
using OptionalTensor = std::optional<Tensor>;
using Text = std::string_view;

// The operators that torch's own compiler calls for frozen graphs; they have no at:: functions.
// https://github.com/pytorch/pytorch/blob/main/aten/src/ATen/native/mkldnn/RegisterMkldnnOpContextClass.cpp
using PackConvolution = Tensor(const Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef,
                               int64_t, at::OptionalIntArrayRef);
using Convolve = Tensor(const Tensor&, const Tensor&, const OptionalTensor&, at::IntArrayRef,
                        at::IntArrayRef, at::IntArrayRef, int64_t, Text, Scalars,
                        std::optional<Text>);
using ConvolveBinary = Tensor(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
                              at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, Text,
                              std::optional<c10::Scalar>, std::optional<Text>, Scalars,
                              std::optional<Text>);
using PackMatrix = Tensor(const Tensor&, std::optional<int64_t>);
using Multiply = Tensor(const Tensor&, const Tensor&, const OptionalTensor&, Text, Scalars,
                        std::optional<Text>);
using MultiplyBinary = Tensor(const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
                              Text);

template <typename Signature>
c10::TypedOperatorHandle<Signature> operator_named(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

bool has_operators() {
  static const bool found =
      c10::Dispatcher::singleton().findSchema({"mkldnn::_convolution_pointwise", "binary"}) &&
      c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", "binary"});
  return found;
}

OptionalTensor if_defined(const Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : std::nullopt;
}

}  // namespace

bool can_pack(const Tensor& weight) {
#if defined(__x86_64__)
  if (!weight.device().is_cpu() || !has_operators()) return false;
  return weight.scalar_type() == Dtype::Float ||
         (weight.scalar_type() == Dtype::BFloat16 && cpu_level() >= CpuLevel::Avx512);
#else
  static_cast<void>(weight);
  return false;
#endif
}

Tensor pack_convolution(const Tensor& weight, const ConvolutionSteps& steps) {
  static const auto pack = operator_named<PackConvolution>("mkldnn::_reorder_convolution_weight");
  const int64_t padding[] = {steps.padding, steps.padding};
  const int64_t stride[] = {steps.stride, steps.stride};
  constexpr int64_t kDilation[] = {1, 1};
  return pack.call(weight, padding, stride, kDilation, /*groups=*/1, /*input_size=*/std::nullopt);
}

Tensor run_convolution(const Tensor& x, const Tensor& packed, const Tensor& bias,
                       const ConvolutionSteps& steps, const Tensor& residual) {
  static const auto convolve = operator_named<Convolve>("mkldnn::_convolution_pointwise");
  static const auto convolve_binary =
      operator_named<ConvolveBinary>("mkldnn::_convolution_pointwise", "binary");
  const int64_t padding[] = {steps.padding, steps.padding};
  const int64_t stride[] = {steps.stride, steps.stride};
  constexpr int64_t kDilation[] = {1, 1};
  if (residual.defined()) {
    return convolve_binary.call(x, residual, packed, if_defined(bias), padding, stride, kDilation,
                                /*groups=*/1, "add", /*alpha=*/std::nullopt,
                                /*unary=*/std::nullopt, Scalars(), std::nullopt);
  }
  return convolve.call(x, packed, if_defined(bias), padding, stride, kDilation, /*groups=*/1,
                       "none", Scalars(), std::nullopt);
}

Tensor pack_matrix(const Tensor& weight) {
  static const auto pack = operator_named<PackMatrix>("mkldnn::_reorder_linear_weight");
  return pack.call(weight, /*batch_size=*/std::nullopt);
}

Tensor run_matrix(const Tensor& x, const Tensor& packed, const Tensor& bias, LinearEnding ending,
                  const Tensor& other) {
  static const auto multiply = operator_named<Multiply>("mkldnn::_linear_pointwise");
  static const auto multiply_binary =
      operator_named<MultiplyBinary>("mkldnn::_linear_pointwise", "binary");
  const auto unary = [&](Text name, std::optional<Text> algorithm = std::nullopt) {
    return multiply.call(x, packed, if_defined(bias), name, Scalars(), algorithm);
  };
  switch (ending) {
    case LinearEnding::None:
      return unary("none");
    case LinearEnding::Gelu:
      return unary("gelu", "none");
    case LinearEnding::GeluTanh:
      return unary("gelu", "tanh");
    case LinearEnding::Silu:
      return unary("swish");
    case LinearEnding::Add:
      return multiply_binary.call(x, other, packed, if_defined(bias), "add");
    case LinearEnding::Multiply:
      return multiply_binary.call(x, other, packed, if_defined(bias), "mul");
  }
  throw InternalError("[run_matrix] unknown ending");
}

}  // namespace sdrbee::nn::cpu
