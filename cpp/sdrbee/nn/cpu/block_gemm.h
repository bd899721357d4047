// Small matrix products on blocks that stay in the cache: the inner loop of attention.
#pragma once

#include <cstdint>

#include "sdrbee/core/bf16.h"

namespace sdrbee::nn::cpu {

/// Rows of a block; callers pad to it.
inline constexpr int64_t kBlockRows = 32;
/// Columns of one packed tile.
inline constexpr int64_t kTileColumns = 16;

/// The next multiple of `step`.
constexpr int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

/// One product: c[32, 16 * tiles] = a[32, depth] * b, or += when `accumulate`.
/// a and c are row-major with strides in elements. b is packed in tiles of 16 columns:
/// fp32 [tile][depth][16], bf16 [tile][depth / 2][16][2] (pairs of rows side by side, as the dot
/// product instructions want them).
template <typename Element>
struct BlockProduct {
  const Element* a;
  int64_t a_stride;
  const Element* b;
  int64_t b_tile_stride;
  float* c;
  int64_t c_stride;
  int64_t depth;  ///< bf16: a multiple of 32
  int64_t tiles;
  bool accumulate;
};

/// fp32 with AVX-512.
void multiply_avx512(const BlockProduct<float>& product);
/// bf16 with AVX512-BF16 dot products.
void multiply_avx512_bf16(const BlockProduct<Bf16Bits>& product);
/// bf16 with AMX tiles; the calling thread holds a TileSession.
void multiply_amx_bf16(const BlockProduct<Bf16Bits>& product);

/// Sets this thread's tile registers up for multiply_amx_bf16 and gives the former set-up back at
/// the end: oneDNN remembers what it configured in a thread and must find it again.
class TileSession {
 public:
  /// Does nothing when `active` is false.
  explicit TileSession(bool active);
  ~TileSession();
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;

 private:
  bool active_;
  alignas(64) uint8_t former_[64] = {};
};

}  // namespace sdrbee::nn::cpu
