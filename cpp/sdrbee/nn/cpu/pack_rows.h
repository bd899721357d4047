// Rearranges rows into the tiles that BlockProduct reads: keys and values, or weights.
#pragma once

#include <cstdint>

#include "sdrbee/nn/cpu/block_gemm.h"

namespace sdrbee::nn::cpu {

/// Rows of one head: `tokens` of `dims` values, padded with zeros to `tokens_padded` (a multiple
/// of 16) and `depth` (dims for fp32, a multiple of 32 for bf16).
struct PackShape {
  int64_t tokens;
  int64_t tokens_padded;
  int64_t dims;
  int64_t depth;
};

/// Keys as columns: the product's depth runs over `depth`, its columns over tokens. `stride` is
/// the distance of two tokens in elements. Writes tokens_padded * depth elements.
void pack_keys(const float* keys, int64_t stride, const PackShape& shape, float* packed);
void pack_keys(const Bf16Bits* keys, int64_t stride, const PackShape& shape, Bf16Bits* packed);

/// Values as rows: the product's depth runs over tokens, its columns over dims padded to 16.
/// Writes tokens_padded * round_up(dims, 16) elements.
void pack_values(const float* values, int64_t stride, const PackShape& shape, float* packed);
void pack_values(const Bf16Bits* values, int64_t stride, const PackShape& shape, Bf16Bits* packed);

}  // namespace sdrbee::nn::cpu
