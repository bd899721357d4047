#include "sdrbee/nn/cpu/block_gemm.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sdrbee::nn::cpu {

#if defined(__x86_64__)

namespace {

/// Rows that one pass of the vector kernels keeps in registers (times up to three tiles of
/// columns).
constexpr int64_t kRegisterRows = 8;

template <int kTiles>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] inline void rows_avx512(
    const BlockProduct<float>& p, int64_t row, int64_t tile) {
  __m512 sums[kRegisterRows][kTiles];
  for (int64_t r = 0; r < kRegisterRows; ++r) {
    for (int t = 0; t < kTiles; ++t) {
      const float* c = p.c + (row + r) * p.c_stride + (tile + t) * kTileColumns;
      sums[r][t] = p.accumulate ? _mm512_loadu_ps(c) : _mm512_setzero_ps();
    }
  }
  const float* a = p.a + row * p.a_stride;
  const float* b = p.b + tile * p.b_tile_stride;
  for (int64_t k = 0; k < p.depth; ++k) {
    __m512 columns[kTiles];
    for (int t = 0; t < kTiles; ++t) {
      columns[t] = _mm512_loadu_ps(b + t * p.b_tile_stride + k * kTileColumns);
    }
    for (int64_t r = 0; r < kRegisterRows; ++r) {
      const __m512 value = _mm512_set1_ps(a[r * p.a_stride + k]);
      for (int t = 0; t < kTiles; ++t) sums[r][t] = _mm512_fmadd_ps(value, columns[t], sums[r][t]);
    }
  }
  for (int64_t r = 0; r < kRegisterRows; ++r) {
    for (int t = 0; t < kTiles; ++t) {
      _mm512_storeu_ps(p.c + (row + r) * p.c_stride + (tile + t) * kTileColumns, sums[r][t]);
    }
  }
}

template <int kTiles>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] inline void rows_avx512_bf16(
    const BlockProduct<Bf16Bits>& p, int64_t row, int64_t tile) {
  __m512 sums[kRegisterRows][kTiles];
  for (int64_t r = 0; r < kRegisterRows; ++r) {
    for (int t = 0; t < kTiles; ++t) {
      const float* c = p.c + (row + r) * p.c_stride + (tile + t) * kTileColumns;
      sums[r][t] = p.accumulate ? _mm512_loadu_ps(c) : _mm512_setzero_ps();
    }
  }
  const Bf16Bits* a = p.a + row * p.a_stride;
  const Bf16Bits* b = p.b + tile * p.b_tile_stride;
  for (int64_t k = 0; k < p.depth; k += 2) {
    __m512bh columns[kTiles];
    for (int t = 0; t < kTiles; ++t) {
      columns[t] = reinterpret_cast<__m512bh>(
          _mm512_loadu_si512(b + t * p.b_tile_stride + k * kTileColumns));
    }
    for (int64_t r = 0; r < kRegisterRows; ++r) {
      int32_t pair;
      __builtin_memcpy(&pair, a + r * p.a_stride + k, sizeof(pair));
      const auto value = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
      for (int t = 0; t < kTiles; ++t) {
        sums[r][t] = _mm512_dpbf16_ps(sums[r][t], value, columns[t]);
      }
    }
  }
  for (int64_t r = 0; r < kRegisterRows; ++r) {
    for (int t = 0; t < kTiles; ++t) {
      _mm512_storeu_ps(p.c + (row + r) * p.c_stride + (tile + t) * kTileColumns, sums[r][t]);
    }
  }
}

/// The tile instructions' operands are strides in bytes.
constexpr long kTileBytes = 64;
/// bf16 values of depth that one tile holds.
constexpr int64_t kTileDepth = 32;

/// 32 x 32 of c: four sums, each tile of a and b loaded once per 32 of depth.
[[gnu::target("amx-tile,amx-bf16")]] inline void square_amx(const BlockProduct<Bf16Bits>& p,
                                                            int64_t tile) {
  const long c_bytes = static_cast<long>(p.c_stride) * static_cast<long>(sizeof(float));
  const long a_bytes = static_cast<long>(p.a_stride) * static_cast<long>(sizeof(Bf16Bits));
  float* c = p.c + tile * kTileColumns;
  float* c_low = c + 16 * p.c_stride;
  if (p.accumulate) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + kTileColumns, c_bytes);
    _tile_loadd(2, c_low, c_bytes);
    _tile_loadd(3, c_low + kTileColumns, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const Bf16Bits* b = p.b + tile * p.b_tile_stride;
  for (int64_t k = 0; k < p.depth; k += kTileDepth) {
    _tile_loadd(6, b + k * kTileColumns, kTileBytes);
    _tile_loadd(4, p.a + k, a_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + p.b_tile_stride + k * kTileColumns, kTileBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, p.a + 16 * p.a_stride + k, a_bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + kTileColumns, c_bytes);
  _tile_stored(2, c_low, c_bytes);
  _tile_stored(3, c_low + kTileColumns, c_bytes);
}

/// 32 x 16 of c: the last tile where their number is odd.
[[gnu::target("amx-tile,amx-bf16")]] inline void column_amx(const BlockProduct<Bf16Bits>& p,
                                                            int64_t tile) {
  const long c_bytes = static_cast<long>(p.c_stride) * static_cast<long>(sizeof(float));
  const long a_bytes = static_cast<long>(p.a_stride) * static_cast<long>(sizeof(Bf16Bits));
  float* c = p.c + tile * kTileColumns;
  float* c_low = c + 16 * p.c_stride;
  if (p.accumulate) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(2, c_low, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(2);
  }
  const Bf16Bits* b = p.b + tile * p.b_tile_stride;
  for (int64_t k = 0; k < p.depth; k += kTileDepth) {
    _tile_loadd(6, b + k * kTileColumns, kTileBytes);
    _tile_loadd(4, p.a + k, a_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, p.a + 16 * p.a_stride + k, a_bytes);
    _tile_dpbf16ps(2, 5, 6);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(2, c_low, c_bytes);
}

/// All of c where depth is 64: the four tiles of a stay in registers, b is read once.
[[gnu::target("amx-tile,amx-bf16")]] inline void short_depth_amx(const BlockProduct<Bf16Bits>& p) {
  const long c_bytes = static_cast<long>(p.c_stride) * static_cast<long>(sizeof(float));
  const long a_bytes = static_cast<long>(p.a_stride) * static_cast<long>(sizeof(Bf16Bits));
  _tile_loadd(4, p.a, a_bytes);
  _tile_loadd(5, p.a + kTileDepth, a_bytes);
  _tile_loadd(6, p.a + 16 * p.a_stride, a_bytes);
  _tile_loadd(7, p.a + 16 * p.a_stride + kTileDepth, a_bytes);
  for (int64_t tile = 0; tile < p.tiles; ++tile) {
    const Bf16Bits* b = p.b + tile * p.b_tile_stride;
    float* c = p.c + tile * kTileColumns;
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(2, b, kTileBytes);
    _tile_dpbf16ps(0, 4, 2);
    _tile_dpbf16ps(1, 6, 2);
    _tile_loadd(3, b + kTileDepth * kTileColumns, kTileBytes);
    _tile_dpbf16ps(0, 5, 3);
    _tile_dpbf16ps(1, 7, 3);
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + 16 * p.c_stride, c_bytes);
  }
}

/// The compiler's tile instructions do not say which memory they read and write.
inline void memory_barrier() { asm volatile("" ::: "memory"); }

}  // namespace

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] void multiply_avx512(
    const BlockProduct<float>& product) {
  for (int64_t row = 0; row < kBlockRows; row += kRegisterRows) {
    int64_t tile = 0;
    for (; tile + 3 <= product.tiles; tile += 3) rows_avx512<3>(product, row, tile);
    if (product.tiles - tile == 2) rows_avx512<2>(product, row, tile);
    if (product.tiles - tile == 1) rows_avx512<1>(product, row, tile);
  }
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] void multiply_avx512_bf16(
    const BlockProduct<Bf16Bits>& product) {
  for (int64_t row = 0; row < kBlockRows; row += kRegisterRows) {
    int64_t tile = 0;
    for (; tile + 3 <= product.tiles; tile += 3) rows_avx512_bf16<3>(product, row, tile);
    if (product.tiles - tile == 2) rows_avx512_bf16<2>(product, row, tile);
    if (product.tiles - tile == 1) rows_avx512_bf16<1>(product, row, tile);
  }
}

[[gnu::target("amx-tile,amx-bf16"), gnu::noinline]] void multiply_amx_bf16(
    const BlockProduct<Bf16Bits>& product) {
  memory_barrier();
  if (product.depth == 2 * kTileDepth && !product.accumulate) {
    short_depth_amx(product);
  } else {
    const int64_t paired = product.tiles - product.tiles % 2;
    for (int64_t tile = 0; tile < paired; tile += 2) square_amx(product, tile);
    if (paired < product.tiles) column_amx(product, paired);
  }
  memory_barrier();
}

[[gnu::target("amx-tile"), gnu::noinline]] static void configure_tiles(uint8_t* former) {
  alignas(64) uint8_t wanted[64] = {};
  wanted[0] = 1;  // palette 1: eight tiles
  for (int tile = 0; tile < 8; ++tile) {
    wanted[16 + 2 * tile] = kTileBytes;  // bytes a row
    wanted[48 + tile] = 16;              // rows
  }
  memory_barrier();
  _tile_storeconfig(former);
  memory_barrier();
  _tile_loadconfig(wanted);
}

[[gnu::target("amx-tile"), gnu::noinline]] static void restore_tiles(const uint8_t* former) {
  memory_barrier();
  if (former[0] == 0) {
    _tile_release();
  } else {
    _tile_loadconfig(former);
  }
}

TileSession::TileSession(bool active) : active_(active) {
  if (active_) configure_tiles(former_);
}

TileSession::~TileSession() {
  if (active_) restore_tiles(former_);
}

#else

void multiply_avx512(const BlockProduct<float>&) {}
void multiply_avx512_bf16(const BlockProduct<Bf16Bits>&) {}
void multiply_amx_bf16(const BlockProduct<Bf16Bits>&) {}
TileSession::TileSession(bool active) : active_(active) {}
TileSession::~TileSession() = default;

#endif

}  // namespace sdrbee::nn::cpu
