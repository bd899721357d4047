// The layouts are those of https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h; the
// order of the roundings is that of the Python package gguf (gguf/quants.py), so that results are
// equal bit for bit.
#include "sdrbee/io/ggml_blocks.h"

#include <c10/util/Half.h>

#include <array>
#include <cstring>

#include "sdrbee/io/sixteen.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC would fuse products and sums on processors that can, which rounds once instead of twice.
#pragma GCC optimize("fp-contract=off")
// As in sixteen.h.
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace sdrbee::io {
namespace {

using Bytes = const uint8_t*;

constexpr int kSuperBlock = 256;  // values in a block of the K types
constexpr int kScaleBytes = 12;   // the scales of a block of Q3_K, Q4_K or Q5_K

/// The values of the 4-bit codes of IQ4_NL and IQ4_XS (kvalues_iq4nl in ggml-common.h).
constexpr std::array<float, 16> kNonLinear = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};

[[gnu::always_inline]] inline float half(Bytes bytes) {
  uint16_t bits = 0;
  std::memcpy(&bits, bytes, sizeof(bits));
  return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}

/// scale * code - offset with two roundings.
[[gnu::always_inline]] inline Floats16 minus(float scale, Ints16 codes, float offset) {
  const Floats16 product = scale * to_floats(codes);
  return product - offset;
}

[[gnu::always_inline]] inline Floats16 plus(float scale, Ints16 codes, float offset) {
  return minus(scale, codes, -offset);
}

struct Q4_0 {
  static constexpr GgmlType kType = GgmlType::Q4_0;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const float scale = half(block);
    const Ints16 codes = load_bytes(block + 2);
    store(scale * to_floats((codes & 15) - 8), values);
    store(scale * to_floats((codes >> 4) - 8), values + 16);
  }
};

struct Q4_1 {
  static constexpr GgmlType kType = GgmlType::Q4_1;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const float scale = half(block);
    const float offset = half(block + 2);
    const Ints16 codes = load_bytes(block + 4);
    store(plus(scale, codes & 15, offset), values);
    store(plus(scale, codes >> 4, offset), values + 16);
  }
};

/// The fifth bits of 16 codes, as 16 or nothing.
[[gnu::always_inline]] inline Ints16 fifth_bits(Bytes bytes) {
  uint16_t bits = 0;
  std::memcpy(&bits, bytes, sizeof(bits));
  return ((bits >> kLanes) & 1) << 4;
}

struct Q5_0 {
  static constexpr GgmlType kType = GgmlType::Q5_0;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const float scale = half(block);
    const Ints16 codes = load_bytes(block + 6);
    store(scale * to_floats(((codes & 15) | fifth_bits(block + 2)) - 16), values);
    store(scale * to_floats((codes >> 4 | fifth_bits(block + 4)) - 16), values + 16);
  }
};

struct Q5_1 {
  static constexpr GgmlType kType = GgmlType::Q5_1;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const float scale = half(block);
    const float offset = half(block + 2);
    const Ints16 codes = load_bytes(block + 8);
    store(plus(scale, (codes & 15) | fifth_bits(block + 4), offset), values);
    store(plus(scale, codes >> 4 | fifth_bits(block + 6), offset), values + 16);
  }
};

struct Q8_0 {
  static constexpr GgmlType kType = GgmlType::Q8_0;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const float scale = half(block);
    store(to_floats(load_signed_bytes(block + 2)) * scale, values);
    store(to_floats(load_signed_bytes(block + 18)) * scale, values + 16);
  }
};

/// Two bits of each of the 16 codes `group` of Q2_K and Q3_K: 32 bytes hold four rows of 32 values.
[[gnu::always_inline]] inline Ints16 two_bits(Bytes codes, int group) {
  const int row = group / 2;
  return load_bytes(codes + row / 4 * 32 + group % 2 * 16) >> (row % 4 * 2) & 3;
}

struct Q2_K {
  static constexpr GgmlType kType = GgmlType::Q2_K;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const Bytes scales = block;
    const Bytes codes = block + kSuperBlock / 16;
    const float scale = half(codes + kSuperBlock / 4);
    const float offset = half(codes + kSuperBlock / 4 + 2);
    for (int group = 0; group < kSuperBlock / 16; ++group) {
      const float group_scale = scale * static_cast<float>(scales[group] & 15);
      const float group_offset = offset * static_cast<float>(scales[group] >> 4);
      store(minus(group_scale, two_bits(codes, group), group_offset), values + group * 16);
    }
  }
};

struct Q3_K {
  static constexpr GgmlType kType = GgmlType::Q3_K;

  /// Sixteen 6-bit scales: the low four bits of all, then the high two.
  [[gnu::always_inline]] static float group_scale(Bytes packed, int group) {
    const int low = packed[group % 8] >> (group / 8 * 4) & 15;
    const int high = packed[8 + group % 4] >> (group / 4 * 2) & 3;
    return static_cast<float>((low | high << 4) - 32);
  }

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const Bytes high = block;
    const Bytes codes = block + kSuperBlock / 8;
    const Bytes scales = codes + kSuperBlock / 4;
    const float scale = half(scales + kScaleBytes);
    for (int group = 0; group < kSuperBlock / 16; ++group) {
      const float factor = scale * group_scale(scales, group);
      // A set bit means that nothing is subtracted.
      const Ints16 subtracted = (~load_bytes(high + group % 2 * 16) >> group / 2 & 1) << 2;
      store(factor * to_floats(two_bits(codes, group) - subtracted), values + group * 16);
    }
  }
};

/// The eight 6-bit scales and offsets of a block of Q4_K or Q5_K: four whole ones, then four whose
/// high bits lie above the first four.
struct ScalesAndOffsets {
  [[gnu::always_inline]] explicit ScalesAndOffsets(Bytes block) {
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

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const ScalesAndOffsets groups(block);
    const Bytes codes = block + 4 + kScaleBytes;
    for (int i = 0; i < kSuperBlock; i += 16) {
      const int group = i / 32;
      const Ints16 code = load_bytes(codes + group / 2 * 32 + i % 32) >> (group % 2 * 4) & 15;
      store(minus(groups.scales[group], code, groups.offsets[group]), values + i);
    }
  }
};

struct Q5_K {
  static constexpr GgmlType kType = GgmlType::Q5_K;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const ScalesAndOffsets groups(block);
    const Bytes high = block + 4 + kScaleBytes;
    const Bytes codes = high + kSuperBlock / 8;
    for (int i = 0; i < kSuperBlock; i += 16) {
      const int group = i / 32;
      const Ints16 low = load_bytes(codes + group / 2 * 32 + i % 32) >> (group % 2 * 4) & 15;
      const Ints16 code = low | (load_bytes(high + i % 32) >> group & 1) << 4;
      store(minus(groups.scales[group], code, groups.offsets[group]), values + i);
    }
  }
};

struct Q6_K {
  static constexpr GgmlType kType = GgmlType::Q6_K;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const Bytes low = block;
    const Bytes high = low + kSuperBlock / 2;
    const Bytes scales = high + kSuperBlock / 4;
    const float scale = half(scales + kSuperBlock / 16);
    for (int group = 0; group < kSuperBlock / 16; ++group) {
      const float factor = scale * static_cast<float>(static_cast<int8_t>(scales[group]));
      // Each half of the block: 64 bytes of low bits, two values a byte, 32 bytes of high bits.
      const int part = group / 8;
      const int row = group / 2 % 4;  // of 32 values
      const int lane = group % 2 * 16;
      const Ints16 low_bits = load_bytes(low + part * 64 + row % 2 * 32 + lane) >> (row / 2 * 4);
      const Ints16 high_bits = load_bytes(high + part * 32 + lane) >> (row * 2) & 3;
      store(factor * to_floats(((low_bits & 15) | high_bits << 4) - 32), values + group * 16);
    }
  }
};

struct IQ4_NL {
  static constexpr GgmlType kType = GgmlType::IQ4_NL;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const float scale = half(block);
    const Ints16 codes = load_bytes(block + 2);
    store(scale * look_up(kNonLinear, codes & 15), values);
    store(scale * look_up(kNonLinear, codes >> 4), values + 16);
  }
};

struct IQ4_XS {
  static constexpr GgmlType kType = GgmlType::IQ4_XS;

  template <typename Number>
  [[gnu::always_inline]] static void expand(Bytes block, Number* values) {
    const float scale = half(block);
    const int high_scales = block[2] | block[3] << 8;
    const Bytes low_scales = block + 4;
    const Bytes codes = low_scales + kSuperBlock / 64;
    for (int group = 0; group < 8; ++group) {
      const int low = low_scales[group / 2] >> (group % 2 * 4) & 15;
      const int high = high_scales >> (2 * group) & 3;
      const float factor = scale * static_cast<float>((low | high << 4) - 32);
      const Ints16 pairs = load_bytes(codes + group * 16);
      store(factor * look_up(kNonLinear, pairs & 15), values + group * 32);
      store(factor * look_up(kNonLinear, pairs >> 4), values + group * 32 + 16);
    }
  }
};

template <typename Block, typename Number>
[[gnu::always_inline]] inline void expand_body(const std::byte* blocks, int64_t count,
                                               Number* values) {
  const int64_t block_bytes = ggml_layout(Block::kType).block_bytes;
  const int64_t block_elements = ggml_layout(Block::kType).block_elements;
  const auto* bytes = reinterpret_cast<Bytes>(blocks);
  for (int64_t i = 0; i < count; ++i)
    Block::expand(bytes + i * block_bytes, values + i * block_elements);
}

// The body is inlined into a function for AVX-512 and one for the compiler's own target.

template <typename Block, typename Number>
void expand_plain(const std::byte* blocks, int64_t count, Number* values) {
  expand_body<Block>(blocks, count, values);
}

#if defined(__x86_64__)
template <typename Block, typename Number>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")]] void expand_avx512(
    const std::byte* blocks, int64_t count, Number* values) {
  expand_body<Block>(blocks, count, values);
}
#endif

template <typename Block, typename Number>
BlockExpander<Number> expander([[maybe_unused]] CpuLevel level) {
#if defined(__x86_64__)
  if (level >= CpuLevel::Avx512) return &expand_avx512<Block, Number>;
#endif
  return &expand_plain<Block, Number>;
}

template <typename Number, typename... Blocks>
BlockExpander<Number> find_among(GgmlType type, CpuLevel level) {
  BlockExpander<Number> found = nullptr;
  ((Blocks::kType == type && (found = expander<Blocks, Number>(level))), ...);
  return found;
}

}  // namespace

template <typename Number>
BlockExpander<Number> find_block_expander(GgmlType type, CpuLevel level) {
  return find_among<Number, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL,
                    IQ4_XS>(type, level);
}

template BlockExpander<float> find_block_expander(GgmlType type, CpuLevel level);
template BlockExpander<Bf16Bits> find_block_expander(GgmlType type, CpuLevel level);

}  // namespace sdrbee::io
