// The layouts are those of https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
#include "sdrbee/io/quantise_k.h"

#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace sdrbee::io {
namespace {

constexpr int kSuperBlock = 256;
/// Ranges that are tried for a group on each side of its own.
constexpr int kTrials = 10;
/// How far the trials are apart, in codes.
constexpr float kTrialStep = 0.1F;

/// The value rounded to a half, written to two bytes.
float write_half(float value, uint8_t* bytes) {
  const c10::Half half(value);
  std::memcpy(bytes, &half.x, sizeof(half.x));
  return static_cast<float>(half);
}

float inverse_or_zero(float value) {
  const float inverse = 1 / value;
  return std::isfinite(inverse) ? inverse : 0;
}

int nearest(float value, int lowest, int highest) {
  return std::clamp(static_cast<int>(std::lrint(value)), lowest, highest);
}

/// value = scale * code - offset, codes from 0 to 15.
struct AffineFit {
  float scale = 0;
  float offset = 0;  // not negative
};

constexpr int kAffineGroup = 32;
constexpr int kAffineGroups = kSuperBlock / kAffineGroup;
constexpr int kAffineHighest = 15;
constexpr int kScaleHighest = 63;  // scales and offsets have six bits

/// Sums over a group that least squares needs.
struct AffineSums {
  float codes = 0;
  float squares = 0;
  float values = 0;
  float products = 0;
};

AffineSums affine_sums(const float* values, float factor, float lowest) {
  AffineSums sums;
  for (int i = 0; i < kAffineGroup; ++i) {
    const auto code = static_cast<float>(nearest((values[i] - lowest) * factor, 0, kAffineHighest));
    sums.codes += code;
    sums.squares += code * code;
    sums.values += values[i];
    sums.products += code * values[i];
  }
  return sums;
}

AffineFit solve(const AffineSums& sums) {
  const float determinant = kAffineGroup * sums.squares - sums.codes * sums.codes;
  AffineFit fit;
  if (determinant > 0) {
    fit.scale = (kAffineGroup * sums.products - sums.codes * sums.values) / determinant;
    fit.offset = (sums.codes * sums.products - sums.squares * sums.values) / determinant;
  }
  if (determinant <= 0 || fit.offset < 0)
    fit = {sums.squares > 0 ? sums.products / sums.squares : 0, 0};
  return fit;
}

/// The squared error less the sum of the values' squares.
float error_of(const AffineFit& fit, const AffineSums& sums) {
  const auto& [scale, offset] = fit;
  return scale * scale * sums.squares + kAffineGroup * offset * offset -
         2 * scale * offset * sums.codes - 2 * scale * sums.products + 2 * offset * sums.values;
}

AffineFit fit_affine(const float* values) {
  const auto [low, high] = std::minmax_element(values, values + kAffineGroup);
  const float lowest = std::min(*low, 0.0F);
  const float range = *high - lowest;
  if (range <= 0) return {0, -lowest};
  AffineFit best;
  float least = 0;
  for (int trial = -kTrials; trial <= kTrials; ++trial) {
    const float codes = kAffineHighest + kTrialStep * static_cast<float>(trial);
    const AffineSums sums = affine_sums(values, codes * inverse_or_zero(range), lowest);
    const AffineFit fit = solve(sums);
    const float error = error_of(fit, sums);
    if (trial == -kTrials || error < least) {
      best = fit;
      least = error;
    }
  }
  return best;
}

/// Six bits each of eight scales and eight offsets in twelve bytes: the first four of both lie in
/// the low six bits of eight bytes, the others are cut in two.
void write_scales(const std::array<int, kAffineGroups>& scales,
                  const std::array<int, kAffineGroups>& offsets, uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    bytes[i] = static_cast<uint8_t>(scales[i] | (scales[i + 4] >> 4) << 6);
    bytes[i + 4] = static_cast<uint8_t>(offsets[i] | (offsets[i + 4] >> 4) << 6);
    bytes[i + 8] = static_cast<uint8_t>((scales[i + 4] & 15) | (offsets[i + 4] & 15) << 4);
  }
}

constexpr int kScaledGroup = 16;
constexpr int kScaledGroups = kSuperBlock / kScaledGroup;
constexpr int kScaledLowest = -32;
constexpr int kScaledHighest = 31;
constexpr int kByteLowest = -128;
constexpr int kByteHighest = 127;

/// value = scale * code with codes from -32 to 31: the scale of the least squared error.
float fit_scale(const float* values) {
  const float extreme = *std::max_element(
      values, values + kScaledGroup, [](float a, float b) { return std::abs(a) < std::abs(b); });
  if (extreme == 0) return 0;
  float best = 0;
  float largest_gain = 0;
  for (int trial = -kTrials; trial <= kTrials; ++trial) {
    const float codes = kScaledLowest + kTrialStep * static_cast<float>(trial);
    float products = 0;
    float squares = 0;
    for (int i = 0; i < kScaledGroup; ++i) {
      const auto code = static_cast<float>(
          nearest(values[i] * (codes * inverse_or_zero(extreme)), kScaledLowest, kScaledHighest));
      products += values[i] * code;
      squares += code * code;
    }
    if (squares > 0 && products * products > largest_gain * squares) {
      largest_gain = products * products / squares;
      best = products / squares;
    }
  }
  return best;
}

}  // namespace

void quantise_q4_k(const float* values, uint8_t* block) {
  std::array<AffineFit, kAffineGroups> fits;
  AffineFit largest;
  for (int group = 0; group < kAffineGroups; ++group) {
    fits[group] = fit_affine(values + group * kAffineGroup);
    largest.scale = std::max(largest.scale, fits[group].scale);
    largest.offset = std::max(largest.offset, fits[group].offset);
  }
  const float scale = write_half(largest.scale / kScaleHighest, block);
  const float offset = write_half(largest.offset / kScaleHighest, block + 2);
  std::array<int, kAffineGroups> scales;
  std::array<int, kAffineGroups> offsets;
  std::array<int, kSuperBlock> codes;
  for (int group = 0; group < kAffineGroups; ++group) {
    scales[group] = nearest(fits[group].scale * inverse_or_zero(scale), 0, kScaleHighest);
    offsets[group] = nearest(fits[group].offset * inverse_or_zero(offset), 0, kScaleHighest);
    const float factor = inverse_or_zero(scale * static_cast<float>(scales[group]));
    const float shift = offset * static_cast<float>(offsets[group]);
    for (int i = group * kAffineGroup; i < (group + 1) * kAffineGroup; ++i)
      codes[i] = nearest((values[i] + shift) * factor, 0, kAffineHighest);
  }
  write_scales(scales, offsets, block + 4);
  uint8_t* packed = block + 16;
  for (int group = 0; group < kAffineGroups; group += 2)  // two groups share 32 bytes
    for (int i = 0; i < kAffineGroup; ++i)
      *packed++ = static_cast<uint8_t>(codes[group * kAffineGroup + i] |
                                       codes[(group + 1) * kAffineGroup + i] << 4);
}

void quantise_q6_k(const float* values, uint8_t* block) {
  std::array<float, kScaledGroups> fits;
  for (int group = 0; group < kScaledGroups; ++group)
    fits[group] = fit_scale(values + group * kScaledGroup);
  const float largest = *std::max_element(
      fits.begin(), fits.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  uint8_t* low = block;
  uint8_t* high = block + kSuperBlock / 2;
  uint8_t* scales = high + kSuperBlock / 4;
  // The largest scale becomes the lowest byte, which is one further from 0 than the highest.
  const float scale = write_half(largest / kByteLowest, scales + kScaledGroups);
  std::array<int, kSuperBlock> codes;
  for (int group = 0; group < kScaledGroups; ++group) {
    const int byte = nearest(fits[group] * inverse_or_zero(scale), kByteLowest, kByteHighest);
    scales[group] = static_cast<uint8_t>(static_cast<int8_t>(byte));
    const float factor = inverse_or_zero(scale * static_cast<float>(byte));
    for (int i = group * kScaledGroup; i < (group + 1) * kScaledGroup; ++i)
      codes[i] = nearest(values[i] * factor, kScaledLowest, kScaledHighest) - kScaledLowest;
  }
  // Each half of the block holds four rows of 32 codes: the low four bits of two rows share 32
  // bytes, the high two bits of all four do.
  for (int half = 0; half < 2; ++half)
    for (int lane = 0; lane < 32; ++lane) {
      const int* row = codes.data() + half * 128 + lane;
      low[half * 64 + lane] = static_cast<uint8_t>((row[0] & 15) | (row[64] & 15) << 4);
      low[half * 64 + 32 + lane] = static_cast<uint8_t>((row[32] & 15) | (row[96] & 15) << 4);
      high[half * 32 + lane] = static_cast<uint8_t>(row[0] >> 4 | (row[32] >> 4) << 2 |
                                                    (row[64] >> 4) << 4 | (row[96] >> 4) << 6);
    }
}

}  // namespace sdrbee::io
