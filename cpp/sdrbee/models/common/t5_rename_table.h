// The names that llama.cpp gives to T5's weights.
// https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/tensor_mapping.py
#pragma once

#include <cstdint>
#include <vector>

#include "sdrbee/io/renamed_weights.h"

namespace sdrbee {

/// Rules that turn the names of an encoder of `layers` blocks into those of transformers.
std::vector<io::RenameRule> t5_llama_rules(int64_t layers);

}  // namespace sdrbee
