#include "sdrbee/nn/cpu/pack_rows.h"

#include <algorithm>
#include <cstring>

namespace sdrbee::nn::cpu {

void pack_keys(const float* keys, int64_t stride, const PackShape& shape, float* packed) {
  for (int64_t first = 0; first < shape.tokens_padded; first += kTileColumns) {
    for (int64_t column = 0; column < kTileColumns; ++column) {
      const bool exists = first + column < shape.tokens;
      const float* row = keys + (first + column) * stride;
      for (int64_t k = 0; k < shape.dims; ++k) {
        packed[k * kTileColumns + column] = exists ? row[k] : 0.0F;
      }
    }
    packed += shape.depth * kTileColumns;
  }
}

void pack_keys(const Bf16Bits* keys, int64_t stride, const PackShape& shape, Bf16Bits* packed) {
  std::memset(packed, 0, static_cast<size_t>(shape.tokens_padded * shape.depth) * sizeof(Bf16Bits));
  for (int64_t token = 0; token < shape.tokens; ++token) {
    Bf16Bits* tile = packed + token / kTileColumns * shape.depth * kTileColumns;
    const int64_t column = token % kTileColumns;
    const Bf16Bits* row = keys + token * stride;
    for (int64_t k = 0; k + 1 < shape.dims; k += 2) {
      std::memcpy(tile + k * kTileColumns + 2 * column, row + k, 2 * sizeof(Bf16Bits));
    }
    if (shape.dims % 2 == 1) {
      tile[(shape.dims - 1) * kTileColumns + 2 * column] = row[shape.dims - 1];
    }
  }
}

void pack_values(const float* values, int64_t stride, const PackShape& shape, float* packed) {
  for (int64_t first = 0; first < shape.dims; first += kTileColumns) {
    const int64_t columns = std::min(kTileColumns, shape.dims - first);
    for (int64_t token = 0; token < shape.tokens_padded; ++token) {
      float* target = packed + token * kTileColumns;
      std::memset(target, 0, kTileColumns * sizeof(float));
      if (token < shape.tokens) {
        std::memcpy(target, values + token * stride + first,
                    static_cast<size_t>(columns) * sizeof(float));
      }
    }
    packed += shape.tokens_padded * kTileColumns;
  }
}

void pack_values(const Bf16Bits* values, int64_t stride, const PackShape& shape, Bf16Bits* packed) {
  for (int64_t first = 0; first < shape.dims; first += kTileColumns) {
    const int64_t columns = std::min(kTileColumns, shape.dims - first);
    for (int64_t token = 0; token < shape.tokens_padded; token += 2) {
      Bf16Bits lines[2][kTileColumns] = {};
      for (int64_t i = 0; i < 2 && token + i < shape.tokens; ++i) {
        std::memcpy(lines[i], values + (token + i) * stride + first,
                    static_cast<size_t>(columns) * sizeof(Bf16Bits));
      }
      Bf16Bits* target = packed + token * kTileColumns;
      for (int64_t column = 0; column < kTileColumns; ++column) {
        target[2 * column] = lines[0][column];
        target[2 * column + 1] = lines[1][column];
      }
    }
    packed += shape.tokens_padded * kTileColumns;
  }
}

}  // namespace sdrbee::nn::cpu
