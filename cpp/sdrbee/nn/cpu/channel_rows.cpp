#include "sdrbee/nn/cpu/channel_rows.h"

#include <algorithm>
#include <bit>

#include "sdrbee/core/cpu_level.h"

namespace sdrbee::nn::cpu {
namespace {

// The bodies are plain loops that the compiler turns into vector code; they are inlined into a
// function for AVX-512 and one for the compiler's own target.

/// e^x by 2^n times a minimax polynomial of degree 5 (relative error 7.5e-8 and the rounding of
/// x log2(e)); saturates at e^-87 and e^87.
[[gnu::always_inline]] inline float exponential(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to whole numbers
  const float clamped = std::min(std::max(x, -87.0F), 87.0F);
  const float shifted = clamped * kLog2E + kRound;
  const float f = clamped * kLog2E - (shifted - kRound);
  float power = 1.327647203e-03F;
  power = power * f + 9.675541480e-03F;
  power = power * f + 5.550713275e-02F;
  power = power * f + 2.402211972e-01F;
  power = power * f + 6.931469671e-01F;
  power = power * f + 1.000000072F;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(power) +
                              (std::bit_cast<uint32_t>(shifted) << 23));
}

template <typename Element>
[[gnu::always_inline]] inline void sum_body(const ChannelSums<Element>& part) {
  float* __restrict sums = part.sums;
  float* __restrict squares = part.squares;
  const int64_t channels = part.channels;
  std::fill(sums, sums + channels, 0.0F);
  std::fill(squares, squares + channels, 0.0F);
  const Element* __restrict first = part.rows_start;
  int64_t row = 1;
  for (; row + 4 <= part.rows; row += 4) {
    const Element* __restrict a = first + row * channels;
    const Element* __restrict b = a + channels;
    const Element* __restrict c = b + channels;
    const Element* __restrict d = c + channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float origin = widen(first[i]);
      const float va = widen(a[i]) - origin, vb = widen(b[i]) - origin;
      const float vc = widen(c[i]) - origin, vd = widen(d[i]) - origin;
      sums[i] += (va + vb) + (vc + vd);
      squares[i] += (va * va + vb * vb) + (vc * vc + vd * vd);
    }
  }
  for (; row < part.rows; ++row) {
    const Element* __restrict a = first + row * channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float value = widen(a[i]) - widen(first[i]);
      sums[i] += value;
      squares[i] += value * value;
    }
  }
}

template <bool kSilu, typename Element>
[[gnu::always_inline]] inline void scale_body(const ChannelScaling<Element>& part) {
  const float* __restrict scale = part.scale;
  const float* __restrict offset = part.offset;
  for (int64_t row = 0; row < part.rows; ++row) {
    const Element* source = part.source + row * part.channels;
    Element* target = part.target + row * part.channels;
#pragma GCC ivdep  // the target may be the source: each value is read before it's overwritten
    for (int64_t i = 0; i < part.channels; ++i) {
      float value = widen(source[i]) * scale[i] + offset[i];
      if constexpr (kSilu) value = value / (1.0F + exponential(-value));
      narrow(value, target[i]);
    }
  }
}

#if defined(__x86_64__)
template <typename Element>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")]] void sum_avx512(
    const ChannelSums<Element>& part) {
  sum_body(part);
}

template <bool kSilu, typename Element>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")]] void scale_avx512(
    const ChannelScaling<Element>& part) {
  scale_body<kSilu>(part);
}
#endif

template <typename Element>
void sum_any(const ChannelSums<Element>& part) {
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::Avx512) return sum_avx512(part);
#endif
  sum_body(part);
}

template <typename Element>
void scale_any(const ChannelScaling<Element>& part) {
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::Avx512) {
    return part.silu ? scale_avx512<true>(part) : scale_avx512<false>(part);
  }
#endif
  part.silu ? scale_body<true>(part) : scale_body<false>(part);
}

}  // namespace

void sum_channels(const ChannelSums<float>& part) { sum_any(part); }
void sum_channels(const ChannelSums<Bf16Bits>& part) { sum_any(part); }
void scale_channels(const ChannelScaling<float>& part) { scale_any(part); }
void scale_channels(const ChannelScaling<Bf16Bits>& part) { scale_any(part); }

}  // namespace sdrbee::nn::cpu
