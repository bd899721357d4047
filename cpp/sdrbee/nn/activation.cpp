#include "sdrbee/nn/activation.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>

#include <array>
#include <utility>

#include "sdrbee/core/check.h"

namespace sdrbee::nn {
namespace {

constexpr std::array<std::pair<std::string_view, Activation>, 6> kNames = {{
    {"silu", Activation::Silu},
    {"swish", Activation::Silu},
    {"gelu", Activation::Gelu},
    {"gelu_new", Activation::GeluTanh},
    {"gelu_pytorch_tanh", Activation::GeluTanh},
    {"quick_gelu", Activation::QuickGelu},
}};

// https://github.com/hendrycks/GELUs
constexpr double kQuickGeluSlope = 1.702;

}  // namespace

std::optional<Activation> find_activation(std::string_view name) {
  for (const auto& [known, activation] : kNames)
    if (known == name) return activation;
  return std::nullopt;
}

Tensor activate(Activation activation, Tensor&& x) {
  switch (activation) {
    case Activation::Silu:
      return at::silu_(x);
    case Activation::Gelu:
      return at::gelu_(x, "none");
    case Activation::GeluTanh:
      return at::gelu_(x, "tanh");
    case Activation::QuickGelu:
      return at::sigmoid(x.mul(kQuickGeluSlope)).mul_(x);
  }
  throw InternalError("[activate] unknown activation");
}

Tensor activate(Activation activation, const Tensor& x) {
  switch (activation) {
    case Activation::Silu:
      return at::silu(x);
    case Activation::Gelu:
      return at::gelu(x, "none");
    case Activation::GeluTanh:
      return at::gelu(x, "tanh");
    case Activation::QuickGelu:
      return at::sigmoid(x.mul(kQuickGeluSlope)).mul_(x);
  }
  throw InternalError("[activate] unknown activation");
}

}  // namespace sdrbee::nn
