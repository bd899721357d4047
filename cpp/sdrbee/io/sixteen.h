// Sixteen numbers at a time in the compiler's own vectors, which become whatever vector registers a
// function is compiled for. All of it is inlined into that function.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "sdrbee/core/bf16.h"

#if defined(__GNUC__) && !defined(__clang__)
// How wide vectors are passed differs between processors; these functions are never called.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace sdrbee::io {

using Floats16 = float __attribute__((vector_size(64)));
using Ints16 = int32_t __attribute__((vector_size(64)));

inline constexpr Ints16 kLanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// Widened in two steps: GCC 12 takes the numbers apart where it has to do it fourfold.

/// 16 bytes as whole numbers.
[[gnu::always_inline]] inline Ints16 load_bytes(const uint8_t* bytes) {
  using Bytes = uint8_t __attribute__((vector_size(16)));
  using Shorts = uint16_t __attribute__((vector_size(32)));
  Bytes values;
  std::memcpy(&values, bytes, sizeof(values));
  return __builtin_convertvector(__builtin_convertvector(values, Shorts), Ints16);
}

/// The same for bytes with a sign.
[[gnu::always_inline]] inline Ints16 load_signed_bytes(const uint8_t* bytes) {
  using Bytes = int8_t __attribute__((vector_size(16)));
  using Shorts = int16_t __attribute__((vector_size(32)));
  Bytes values;
  std::memcpy(&values, bytes, sizeof(values));
  return __builtin_convertvector(__builtin_convertvector(values, Shorts), Ints16);
}

[[gnu::always_inline]] inline Floats16 to_floats(Ints16 values) {
  return __builtin_convertvector(values, Floats16);
}

/// table[i] for each of `indices`, which are below 16.
[[gnu::always_inline]] inline Floats16 look_up(const std::array<float, 16>& table, Ints16 indices) {
  Floats16 found;
  for (int i = 0; i < 16; ++i) found[i] = table[static_cast<size_t>(indices[i])];
  return found;
}

[[gnu::always_inline]] inline void store(Floats16 values, float* target) {
  std::memcpy(target, &values, sizeof(values));
}

/// Rounds to nearest, ties to even; a NaN stays one.
[[gnu::always_inline]] inline void store(Floats16 values, Bf16Bits* target) {
  using Bits = uint32_t __attribute__((vector_size(64)));
  using Bf16s = Bf16Bits __attribute__((vector_size(32)));
  Bits bits;
  std::memcpy(&bits, &values, sizeof(bits));
  const Bits rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  const auto numbers = reinterpret_cast<Bits>(values == values);  // all bits set, or none
  const auto result = __builtin_convertvector((rounded & numbers) | (0x7FC0U & ~numbers), Bf16s);
  std::memcpy(target, &result, sizeof(result));
}

}  // namespace sdrbee::io

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
