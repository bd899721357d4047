// The block layouts of ggml: how the bytes of one block become numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sdrbee/core/bf16.h"
#include "sdrbee/core/cpu_level.h"
#include "sdrbee/io/ggml_type.h"

namespace sdrbee::io {

/// Expands `count` blocks that follow each other to `count * block_elements` values: float, or
/// Bf16Bits, which are the floats rounded once.
template <typename Number>
using BlockExpander = void (*)(const std::byte* blocks, int64_t count, Number* values);

/// The expander of a quantised type for machines of `level` on; null when there is none.
template <typename Number>
BlockExpander<Number> find_block_expander(GgmlType type, CpuLevel level = cpu_level());

}  // namespace sdrbee::io
