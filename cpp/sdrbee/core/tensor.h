// The tensor types of the project and their names in text.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

namespace sdrbee {

using at::Tensor;
using Dtype = c10::ScalarType;

/// A shape as text: "[2, 4, 64, 64]".
std::string shape_text(at::IntArrayRef shape);

/// The name used in requests, recipes and messages: "fp32", "bf16", "fp16"; other dtypes by
/// torch's name.
std::string dtype_name(Dtype dtype);

/// The floating-point dtype of a name ("fp32", "float32", "bf16", "bfloat16", "fp16", "float16").
/// Throws InvalidRequest that lists the names.
Dtype parse_dtype(std::string_view name);

}  // namespace sdrbee
