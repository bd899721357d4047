// bf16 numbers as the bits they are stored in, for loops that the compiler turns into vector code.
#pragma once

#include <bit>
#include <cstdint>

namespace sdrbee {

/// bf16 values as the bits they are stored in.
using Bf16Bits = uint16_t;

/// The value in fp32.
[[gnu::always_inline]] inline float widen(float value) { return value; }
[[gnu::always_inline]] inline float widen(Bf16Bits bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

/// Writes `value` to `target`, for bf16 rounded to nearest, ties to even; a NaN stays one.
[[gnu::always_inline]] inline void narrow(float value, float& target) { target = value; }
[[gnu::always_inline]] inline void narrow(float value, Bf16Bits& target) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  target = static_cast<Bf16Bits>(value == value ? rounded : 0x7FC0U);
}

}  // namespace sdrbee
