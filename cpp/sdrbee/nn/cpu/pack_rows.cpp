#include "sdrbee/nn/cpu/pack_rows.h"

#include <algorithm>
#include <cstring>

#include "sdrbee/core/cpu_level.h"

#if defined(__x86_64__)
#include <immintrin.h>
// As in softmax_rows.cpp.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace sdrbee::nn::cpu {
namespace {

#if defined(__x86_64__)

/// Values of depth that one vector register holds.
constexpr int64_t kVectorDepth = 32;

// A false alarm of GCC 12: https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"

/// 16 rows of 16 pairs to 16 pairs of 16 rows.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] void transpose_pairs(const Bf16Bits* rows,
                                                                           int64_t stride,
                                                                           Bf16Bits* packed) {
  __m512i quads[16];  // [4 i + j]: of rows 4 i to 4 i + 3, pairs j, j + 4, j + 8 and j + 12
  for (int64_t i = 0; i < 16; i += 4) {
    const __m512i a = _mm512_loadu_si512(rows + i * stride);
    const __m512i b = _mm512_loadu_si512(rows + (i + 1) * stride);
    const __m512i c = _mm512_loadu_si512(rows + (i + 2) * stride);
    const __m512i d = _mm512_loadu_si512(rows + (i + 3) * stride);
    const __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
    const __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
    quads[i] = _mm512_unpacklo_epi64(ab_low, cd_low);
    quads[i + 1] = _mm512_unpackhi_epi64(ab_low, cd_low);
    quads[i + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
    quads[i + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
  }
  constexpr int kEven = 0x88, kOdd = 0xDD;  // of the four quarters of two registers
  for (int64_t j = 0; j < 4; ++j) {
    const __m512i low_even = _mm512_shuffle_i32x4(quads[j], quads[4 + j], kEven);
    const __m512i low_odd = _mm512_shuffle_i32x4(quads[j], quads[4 + j], kOdd);
    const __m512i high_even = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], kEven);
    const __m512i high_odd = _mm512_shuffle_i32x4(quads[8 + j], quads[12 + j], kOdd);
    Bf16Bits* target = packed + j * 32;
    _mm512_storeu_si512(target, _mm512_shuffle_i32x4(low_even, high_even, kEven));
    _mm512_storeu_si512(target + 128, _mm512_shuffle_i32x4(low_odd, high_odd, kEven));
    _mm512_storeu_si512(target + 256, _mm512_shuffle_i32x4(low_even, high_even, kOdd));
    _mm512_storeu_si512(target + 384, _mm512_shuffle_i32x4(low_odd, high_odd, kOdd));
  }
}

#pragma GCC diagnostic pop
#endif

/// One tile of 16 rows; returns how many values of each row it packed.
int64_t transpose_rows([[maybe_unused]] const Bf16Bits* rows, [[maybe_unused]] int64_t stride,
                       [[maybe_unused]] const PackShape& shape, [[maybe_unused]] Bf16Bits* packed) {
  int64_t k = 0;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::Avx512)
    for (; k + kVectorDepth <= shape.dims; k += kVectorDepth)
      transpose_pairs(rows + k, stride, packed + k * kTileColumns);
#endif
  return k;
}

}  // namespace

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
  for (int64_t first = 0; first < shape.tokens_padded; first += kTileColumns) {
    const int64_t tokens = std::clamp<int64_t>(shape.tokens - first, 0, kTileColumns);
    const int64_t done = tokens == kTileColumns ? transpose_rows(keys, stride, shape, packed) : 0;
    std::memset(packed + done * kTileColumns, 0,
                static_cast<size_t>((shape.depth - done) * kTileColumns) * sizeof(Bf16Bits));
    for (int64_t column = 0; column < tokens; ++column) {
      const Bf16Bits* row = keys + column * stride;
      Bf16Bits* target = packed + 2 * column;
      for (int64_t k = done; k + 1 < shape.dims; k += 2) {
        std::memcpy(target + k * kTileColumns, row + k, 2 * sizeof(Bf16Bits));
      }
      if (shape.dims % 2 == 1) target[(shape.dims - 1) * kTileColumns] = row[shape.dims - 1];
    }
    keys += kTileColumns * stride;
    packed += shape.depth * kTileColumns;
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
