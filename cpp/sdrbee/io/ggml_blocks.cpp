// The layouts are those of https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h; the
// order of the roundings is that of the Python package gguf (gguf/quants.py), so that results are
// equal bit for bit.
#include "sdrbee/io/ggml_blocks.h"

#include <c10/util/Half.h>

#include <array>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
// GCC would fuse products and sums on processors that can, which rounds once instead of twice.
#pragma GCC optimize("fp-contract=off")
#endif

namespace sdrbee::io {
namespace {

using Bytes = const uint8_t*;

constexpr int kSuperBlock = 256;  // values in a block of the K types
constexpr int kScaleBytes = 12;   // the scales of a block of Q3_K, Q4_K or Q5_K

/// The values of the 4-bit codes of IQ4_NL and IQ4_XS (kvalues_iq4nl in ggml-common.h).
constexpr std::array<float, 16> kNonLinear = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};

float half(Bytes bytes) {
  uint16_t bits = 0;
  std::memcpy(&bits, bytes, sizeof(bits));
  return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}

/// scale * code - offset with two roundings.
float minus(float scale, int code, float offset) {
  const float product = scale * static_cast<float>(code);
  return product - offset;
}

float plus(float scale, int code, float offset) { return minus(scale, code, -offset); }

struct Q4_0 {
  static constexpr GgmlType kType = GgmlType::Q4_0;

  static void expand(Bytes block, float* values) {
    const float scale = half(block);
    const Bytes codes = block + 2;
    for (int i = 0; i < 16; ++i) {
      values[i] = scale * static_cast<float>((codes[i] & 15) - 8);
      values[i + 16] = scale * static_cast<float>((codes[i] >> 4) - 8);
    }
  }
};

struct Q4_1 {
  static constexpr GgmlType kType = GgmlType::Q4_1;

  static void expand(Bytes block, float* values) {
    const float scale = half(block);
    const float offset = half(block + 2);
    const Bytes codes = block + 4;
    for (int i = 0; i < 16; ++i) {
      values[i] = plus(scale, codes[i] & 15, offset);
      values[i + 16] = plus(scale, codes[i] >> 4, offset);
    }
  }
};

/// The fifth bits of 32 codes, as 16 or nothing.
struct FifthBits {
  explicit FifthBits(Bytes bytes) { std::memcpy(&bits, bytes, sizeof(bits)); }
  int of(int i) const { return static_cast<int>(bits >> i & 1) << 4; }

  uint32_t bits = 0;
};

struct Q5_0 {
  static constexpr GgmlType kType = GgmlType::Q5_0;

  static void expand(Bytes block, float* values) {
    const float scale = half(block);
    const FifthBits fifth(block + 2);
    const Bytes codes = block + 6;
    for (int i = 0; i < 16; ++i) {
      values[i] = scale * static_cast<float>(((codes[i] & 15) | fifth.of(i)) - 16);
      values[i + 16] = scale * static_cast<float>((codes[i] >> 4 | fifth.of(i + 16)) - 16);
    }
  }
};

struct Q5_1 {
  static constexpr GgmlType kType = GgmlType::Q5_1;

  static void expand(Bytes block, float* values) {
    const float scale = half(block);
    const float offset = half(block + 2);
    const FifthBits fifth(block + 4);
    const Bytes codes = block + 8;
    for (int i = 0; i < 16; ++i) {
      values[i] = plus(scale, (codes[i] & 15) | fifth.of(i), offset);
      values[i + 16] = plus(scale, codes[i] >> 4 | fifth.of(i + 16), offset);
    }
  }
};

struct Q8_0 {
  static constexpr GgmlType kType = GgmlType::Q8_0;

  static void expand(Bytes block, float* values) {
    const float scale = half(block);
    for (int i = 0; i < 32; ++i)
      values[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
  }
};

/// Two bits of each code of Q2_K and Q3_K: 32 bytes hold four rows of 32 values.
int two_bits(Bytes codes, int row, int i) { return codes[row / 4 * 32 + i] >> (row % 4 * 2) & 3; }

struct Q2_K {
  static constexpr GgmlType kType = GgmlType::Q2_K;

  static void expand(Bytes block, float* values) {
    const Bytes scales = block;
    const Bytes codes = block + kSuperBlock / 16;
    const float scale = half(codes + kSuperBlock / 4);
    const float offset = half(codes + kSuperBlock / 4 + 2);
    for (int group = 0; group < kSuperBlock / 16; ++group) {
      const float group_scale = scale * static_cast<float>(scales[group] & 15);
      const float group_offset = offset * static_cast<float>(scales[group] >> 4);
      for (int i = 0; i < 16; ++i)
        values[group * 16 + i] =
            minus(group_scale, two_bits(codes, group / 2, group % 2 * 16 + i), group_offset);
    }
  }
};

struct Q3_K {
  static constexpr GgmlType kType = GgmlType::Q3_K;

  /// Sixteen 6-bit scales: the low four bits of all, then the high two.
  static float group_scale(Bytes packed, int group) {
    const int low = packed[group % 8] >> (group / 8 * 4) & 15;
    const int high = packed[8 + group % 4] >> (group / 4 * 2) & 3;
    return static_cast<float>((low | high << 4) - 32);
  }

  static void expand(Bytes block, float* values) {
    const Bytes high = block;
    const Bytes codes = block + kSuperBlock / 8;
    const Bytes scales = codes + kSuperBlock / 4;
    const float scale = half(scales + kScaleBytes);
    for (int group = 0; group < kSuperBlock / 16; ++group) {
      const float factor = scale * group_scale(scales, group);
      const int row = group / 2;
      for (int i = 0; i < 16; ++i) {
        const int lane = group % 2 * 16 + i;
        // A set bit means that nothing is subtracted.
        const int subtracted = (~high[lane] >> row & 1) << 2;
        values[group * 16 + i] =
            factor * static_cast<float>(two_bits(codes, row, lane) - subtracted);
      }
    }
  }
};

/// The eight 6-bit scales and offsets of a block of Q4_K or Q5_K: four whole ones, then four whose
/// high bits lie above the first four.
struct ScalesAndOffsets {
  explicit ScalesAndOffsets(Bytes block) {
    const float scale = half(block);
    const float offset = half(block + 2);
    const Bytes packed = block + 4;
    for (int i = 0; i < 4; ++i) {
      scales[i] = scale * static_cast<float>(packed[i] & 63);
      offsets[i] = offset * static_cast<float>(packed[4 + i] & 63);
      scales[4 + i] = scale * static_cast<float>((packed[8 + i] & 15) | (packed[i] >> 2 & 48));
      offsets[4 + i] = offset * static_cast<float>(packed[8 + i] >> 4 | (packed[4 + i] >> 2 & 48));
    }
  }

  float scales[8];
  float offsets[8];
};

struct Q4_K {
  static constexpr GgmlType kType = GgmlType::Q4_K;

  static void expand(Bytes block, float* values) {
    const ScalesAndOffsets groups(block);
    const Bytes codes = block + 4 + kScaleBytes;
    for (int group = 0; group < 8; ++group)
      for (int i = 0; i < 32; ++i)
        values[group * 32 + i] =
            minus(groups.scales[group], codes[group / 2 * 32 + i] >> (group % 2 * 4) & 15,
                  groups.offsets[group]);
  }
};

struct Q5_K {
  static constexpr GgmlType kType = GgmlType::Q5_K;

  static void expand(Bytes block, float* values) {
    const ScalesAndOffsets groups(block);
    const Bytes high = block + 4 + kScaleBytes;
    const Bytes codes = high + kSuperBlock / 8;
    for (int group = 0; group < 8; ++group)
      for (int i = 0; i < 32; ++i) {
        const int low = codes[group / 2 * 32 + i] >> (group % 2 * 4) & 15;
        const int code = low | (high[i] >> group & 1) << 4;
        values[group * 32 + i] = minus(groups.scales[group], code, groups.offsets[group]);
      }
  }
};

struct Q6_K {
  static constexpr GgmlType kType = GgmlType::Q6_K;

  static void expand(Bytes block, float* values) {
    const Bytes low = block;
    const Bytes high = low + kSuperBlock / 2;
    const Bytes scales = high + kSuperBlock / 4;
    const float scale = half(scales + kSuperBlock / 16);
    for (int group = 0; group < kSuperBlock / 16; ++group) {
      const float factor = scale * static_cast<float>(static_cast<int8_t>(scales[group]));
      // Each half of the block: 64 bytes of low bits, two values a byte, 32 bytes of high bits.
      const int part = group / 8;
      const int row = group / 2 % 4;  // of 32 values
      for (int i = 0; i < 16; ++i) {
        const int lane = group % 2 * 16 + i;
        const int low_bits = low[part * 64 + row % 2 * 32 + lane] >> (row / 2 * 4) & 15;
        const int high_bits = high[part * 32 + lane] >> (row * 2) & 3;
        values[group * 16 + i] = factor * static_cast<float>((low_bits | high_bits << 4) - 32);
      }
    }
  }
};

struct IQ4_NL {
  static constexpr GgmlType kType = GgmlType::IQ4_NL;

  static void expand(Bytes block, float* values) {
    const float scale = half(block);
    const Bytes codes = block + 2;
    for (int i = 0; i < 16; ++i) {
      values[i] = scale * kNonLinear[codes[i] & 15];
      values[i + 16] = scale * kNonLinear[codes[i] >> 4];
    }
  }
};

struct IQ4_XS {
  static constexpr GgmlType kType = GgmlType::IQ4_XS;

  static void expand(Bytes block, float* values) {
    const float scale = half(block);
    const int high_scales = block[2] | block[3] << 8;
    const Bytes low_scales = block + 4;
    const Bytes codes = low_scales + kSuperBlock / 64;
    for (int group = 0; group < 8; ++group) {
      const int low = low_scales[group / 2] >> (group % 2 * 4) & 15;
      const int high = high_scales >> (2 * group) & 3;
      const float factor = scale * static_cast<float>((low | high << 4) - 32);
      for (int i = 0; i < 16; ++i) {
        const uint8_t pair = codes[group * 16 + i];
        values[group * 32 + i] = factor * kNonLinear[pair & 15];
        values[group * 32 + i + 16] = factor * kNonLinear[pair >> 4];
      }
    }
  }
};

template <typename Block>
void expand_blocks(const std::byte* blocks, int64_t count, float* values) {
  const GgmlLayout& layout = ggml_layout(Block::kType);
  const auto* bytes = reinterpret_cast<Bytes>(blocks);
  for (int64_t i = 0; i < count; ++i)
    Block::expand(bytes + i * layout.block_bytes, values + i * layout.block_elements);
}

struct Row {
  GgmlType type;
  BlockExpander expander;
};

template <typename... Blocks>
constexpr std::array<Row, sizeof...(Blocks)> rows() {
  return {Row{Blocks::kType, &expand_blocks<Blocks>}...};
}

constexpr auto kRows =
    rows<Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS>();

}  // namespace

BlockExpander find_block_expander(GgmlType type) {
  for (const Row& row : kRows)
    if (row.type == type) return row.expander;
  return nullptr;
}

}  // namespace sdrbee::io
