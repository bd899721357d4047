// Quantised blocks to numbers, bit for bit as the Python package `gguf` does it.
#pragma once

#include <string>
#include <string_view>

#include "sdrbee/io/ggml_type.h"

namespace sdrbee::io {

/// Whether dequantise knows the type: all plain types, Q4_0 Q4_1 Q5_0 Q5_1 Q8_0, Q2_K to Q6_K,
/// IQ4_NL and IQ4_XS.
bool can_dequantise(GgmlType type);

/// The names of the types that dequantise knows, for messages.
std::string dequantisable_types();

/// Throws UnsupportedModel, saying what dequantise knows, when it doesn't know the type of the
/// tensor `name` of the file `origin`.
void require_dequantisable(GgmlType type, std::string_view name, std::string_view origin);

/// The values in `dtype`, on the CPU, and what is added to them. Quantised values are computed in
/// fp32, bit for bit as `gguf.quants.dequantize` of gguf 0.19 does it, and rounded once to `dtype`.
/// Plain values whose dtype is `dtype` share the memory of `tensor.bytes`. Throws UnsupportedModel
/// for a type that it doesn't know.
Tensor dequantise(const QuantisedTensor& tensor, Dtype dtype);

}  // namespace sdrbee::io
