// Numbers to the block types of GGUF.
#pragma once

#include <string>

#include "sdrbee/io/ggml_type.h"

namespace sdrbee::io {

/// Whether quantise knows the type: all plain types, Q4_0 Q4_1 Q5_0 Q5_1 Q8_0, Q4_K and
/// Q6_K.
bool can_quantise(GgmlType type);

/// The names of the types that quantise knows, for messages.
std::string quantisable_types();

/// The tensor (of any strides, on the CPU) as `type`: plain types by torch's conversion, quantised
/// ones bit for bit as `gguf.quants.quantize` of gguf 0.19 does it from fp32 (but for the sign of a
/// zero offset of Q4_1 and Q5_1 where a block has zeros of both signs: there it depends on the
/// processor). Q4_K and Q6_K, which the package only reads, have our own search for the scales: on
/// normally distributed values the root mean square error is below 0.073 and 0.018 of the values'.
/// Blocks run over the values in torch's order, whatever the rows. Throws
/// InvalidRequest for a type that it doesn't know, and, for quantised types, when the values are no
/// whole number of blocks or larger than the largest half.
QuantisedTensor quantise(const Tensor& tensor, GgmlType type);

/// A tensor in the plain type of its dtype. Throws InvalidRequest when GGUF has none.
QuantisedTensor as_blocks(const Tensor& tensor);

}  // namespace sdrbee::io
