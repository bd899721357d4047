// Activation functions by the names that config.json uses.
#pragma once

#include <optional>
#include <string_view>

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn {

enum class Activation {
  Silu,
  Gelu,       ///< by the error function
  GeluTanh,   ///< the tanh approximation
  QuickGelu,  ///< x * sigmoid(1.702 x)
};

/// The activation that diffusers or transformers calls `name` ("silu", "swish", "gelu",
/// "gelu_new", "gelu_pytorch_tanh", "quick_gelu"); nothing for other names.
std::optional<Activation> find_activation(std::string_view name);

/// `x` with the activation applied, which may be done in the memory of `x`.
Tensor activate(Activation activation, Tensor&& x);

/// `x` with the activation applied; `x` stays as it is.
Tensor activate(Activation activation, const Tensor& x);

}  // namespace sdrbee::nn
