#include "sdrbee/nn/cpu/low_rank_sum.h"

#include <ATen/Parallel.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "sdrbee/core/bf16.h"
#include "sdrbee/core/block_reuse.h"
#include "sdrbee/core/check.h"
#include "sdrbee/core/cpu_level.h"
#include "sdrbee/nn/cpu/block_gemm.h"
#include "sdrbee/nn/cpu/pack_rows.h"

#if defined(__x86_64__)
#include <immintrin.h>
// As in softmax_rows.cpp.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace sdrbee::nn::cpu {
namespace {

/// By ATen, some rows at a time: what is between them stays in the cache.
Tensor sum_by_rows(const Tensor& weight, const Tensor& up, const Tensor& down, Dtype dtype) {
  constexpr int64_t kChunkElements = 1 << 16;
  const int64_t rows = weight.size(0), columns = weight.size(1);
  Tensor result = at::empty({rows, columns}, weight.options().dtype(dtype));
  const int64_t step = std::clamp<int64_t>(kChunkElements / columns, 1, rows);
  // One for all: the system fills new memory with zeros, which would take half of the time.
  const Tensor sums = at::empty({step, columns}, weight.options().dtype(Dtype::Float));
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    Tensor sum = sums.narrow(0, 0, count);
    sum.copy_(weight.narrow(0, begin, count));
    result.narrow(0, begin, count).copy_(sum.addmm_(up.narrow(0, begin, count), down));
  }
  return result;
}

#if defined(__x86_64__)

/// Sums [32, 1024] that are made together: they stay in the second-level cache.
constexpr int64_t kSumColumns = 1024;
/// Depth that the tiles want.
constexpr int64_t kDepthStep = 32;
/// Blocks of 32 rows below which a second thread costs more than it gives.
constexpr int64_t kGrain = 2;

/// Up to sixteen values, those that `mask` names.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] inline __m512 load_lanes(
    const c10::Half* values, __mmask16 mask) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, values));
}
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] inline __m512 load_lanes(
    const c10::BFloat16* values, __mmask16 mask) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, values));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] inline __m512 load_lanes(
    const float* values, __mmask16 mask) {
  return _mm512_maskz_loadu_ps(mask, values);
}

/// out = bf16(weight + sums). There are sums up to the next multiple of sixteen.
template <typename Element>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] void add_sums(
    const Element* weight, const float* sums, int64_t count, Bf16Bits* out) {
  for (int64_t i = 0; i < count; i += kTileColumns) {
    const auto mask = static_cast<__mmask16>(
        count - i >= kTileColumns ? 0xFFFF : (1U << static_cast<unsigned>(count - i)) - 1U);
    const __m512 sum = _mm512_add_ps(load_lanes(weight + i, mask), _mm512_loadu_ps(sums + i));
    const auto rounded = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sum));
    _mm256_mask_storeu_epi16(out + i, mask, rounded);
  }
}

struct LowRankProblem {
  const Bf16Bits* up;    // [rows up to 32, depth]
  const Bf16Bits* down;  // packed, see BlockProduct
  int64_t rows, columns, depth;
  bool uses_tiles;
};

/// 32 rows of the result, or those that are left.
template <typename Element>
void add_rows(const LowRankProblem& problem, int64_t row, const Element* weight, Bf16Bits* out) {
  alignas(64) float sums[kBlockRows * kSumColumns];
  const int64_t rows = std::min(kBlockRows, problem.rows - row);
  for (int64_t column = 0; column < problem.columns; column += kSumColumns) {
    const int64_t columns = std::min(kSumColumns, problem.columns - column);
    const BlockProduct<Bf16Bits> product{.a = problem.up + row * problem.depth,
                                         .a_stride = problem.depth,
                                         .b = problem.down + column * problem.depth,
                                         .b_tile_stride = problem.depth * kTileColumns,
                                         .c = sums,
                                         .c_stride = kSumColumns,
                                         .depth = problem.depth,
                                         .tiles = round_up(columns, kTileColumns) / kTileColumns,
                                         .accumulate = false};
    problem.uses_tiles ? multiply_amx_bf16(product) : multiply_avx512_bf16(product);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t begin = (row + i) * problem.columns + column;
      add_sums(weight + begin, sums + i * kSumColumns, columns, out + begin);
    }
  }
}

template <typename Element>
void add_all(const LowRankProblem& problem, const Element* weight, Bf16Bits* out) {
  const int64_t blocks = round_up(problem.rows, kBlockRows) / kBlockRows;
  at::parallel_for(0, blocks, kGrain, [&](int64_t begin, int64_t end) {
    const TileSession session(problem.uses_tiles);
    for (int64_t block = begin; block < end; ++block)
      add_rows(problem, block * kBlockRows, weight, out);
  });
}

/// `factor` [rows, rank] or [rank, columns] in bf16 with zeros behind, up to this size.
Tensor padded(const Tensor& factor, int64_t rows, int64_t columns) {
  const Tensor values = factor.to(Dtype::BFloat16);
  return at::constant_pad_nd(values, {0, columns - values.size(1), 0, rows - values.size(0)});
}

Bf16Bits* bits(const Tensor& tensor) { return static_cast<Bf16Bits*>(tensor.data_ptr()); }

bool has_bf16_sum(const Tensor& weight) {
  const Dtype dtype = weight.scalar_type();
  return cpu_level() >= CpuLevel::Avx512Bf16 && weight.is_contiguous() &&
         (dtype == Dtype::Float || dtype == Dtype::Half || dtype == Dtype::BFloat16);
}

Tensor bf16_sum(const Tensor& weight, const Tensor& up, const Tensor& down) {
  const int64_t rows = weight.size(0), columns = weight.size(1);
  const int64_t depth = round_up(down.size(0), kDepthStep);
  const Tensor own_up = padded(up, round_up(rows, kBlockRows), depth);
  const Tensor own_down = padded(down, depth, columns);
  const Tensor packed = at::empty({depth * round_up(columns, kTileColumns)}, own_down.options());
  pack_values(bits(own_down), columns,
              {.tokens = depth, .tokens_padded = depth, .dims = columns, .depth = columns},
              bits(packed));
  const BlockReuse::ForShort packed_soon;
  Tensor result = at::empty({rows, columns}, own_up.options());
  const LowRankProblem problem{.up = bits(own_up),
                               .down = bits(packed),
                               .rows = rows,
                               .columns = columns,
                               .depth = depth,
                               .uses_tiles = cpu_level() == CpuLevel::AmxBf16};
  if (weight.scalar_type() == Dtype::Half) {
    add_all(problem, weight.const_data_ptr<c10::Half>(), bits(result));
  } else if (weight.scalar_type() == Dtype::BFloat16) {
    add_all(problem, weight.const_data_ptr<c10::BFloat16>(), bits(result));
  } else {
    add_all(problem, weight.const_data_ptr<float>(), bits(result));
  }
  return result;
}

#endif

}  // namespace

Tensor low_rank_sum(const Tensor& weight, const Tensor& up, const Tensor& down, Dtype dtype) {
  SDRBEE_CHECK(weight.device().is_cpu() && weight.numel() > 0);
  SDRBEE_CHECK_SHAPE(up, {weight.size(0), down.size(0)});
  SDRBEE_CHECK_SHAPE(down, {-1, weight.size(1)});
#if defined(__x86_64__)
  if (dtype == Dtype::BFloat16 && has_bf16_sum(weight)) return bf16_sum(weight, up, down);
#endif
  return sum_by_rows(weight, up, down, dtype);
}

}  // namespace sdrbee::nn::cpu
