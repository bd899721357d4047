// The block layouts of ggml: how the bytes of one block become fp32 values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sdrbee/io/ggml_type.h"

namespace sdrbee::io {

/// Expands `count` blocks that follow each other to `count * block_elements` values.
using BlockExpander = void (*)(const std::byte* blocks, int64_t count, float* values);

/// The expander of a quantised type; null when there is none.
BlockExpander find_block_expander(GgmlType type);

}  // namespace sdrbee::io
