#include "sdrbee/nn/cpu/softmax_rows.h"

#if defined(__x86_64__)
#include <immintrin.h>
// GCC 12 takes the deliberately undefined registers inside its own header for a mistake of ours:
// https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <cstring>
#include <limits>

namespace sdrbee::nn::cpu {

void start_rows(RowState& state) {
  for (int64_t row = 0; row < kBlockRows; ++row) {
    state.reference[row] = -std::numeric_limits<float>::infinity();
    for (float& sum : state.sums[row]) sum = 0.0F;
  }
  state.started = false;
}

#if defined(__x86_64__)

namespace {

/// 2^x; -infinity gives 0. The fraction x - floor(x) goes through a minimax polynomial (relative
/// error 7.5e-8 for degree 5, 2.6e-6 for degree 4, against 2e-3 of rounding to bf16).
template <int kDegree>
[[gnu::target("avx512f,avx512dq"), gnu::always_inline]] inline __m512 exp2_of(__m512 x) {
  const __m512 fraction = _mm512_reduce_ps(x, 0x09);
  __m512 sum;
  if constexpr (kDegree == 5) {
    sum = _mm512_set1_ps(1.877576680e-03F);
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(8.989340283e-03F));
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(5.582631767e-02F));
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(2.401536173e-01F));
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(6.931530731e-01F));
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(9.999999251e-01F));
  } else {
    sum = _mm512_set1_ps(1.353416797e-02F);
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(5.201146230e-02F));
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(2.414427544e-01F));
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(6.930038354e-01F));
    sum = _mm512_fmadd_ps(sum, fraction, _mm512_set1_ps(1.000002593e+00F));
  }
  return _mm512_scalef_ps(sum, x);
}

/// Columns from `valid` on drop out of maximum and sum.
void mask_tail(const ScoreBlock& block) {
  for (int64_t row = 0; row < kBlockRows; ++row) {
    for (int64_t key = block.valid; key < block.keys; ++key) {
      block.scores[row * block.stride + key] = -std::numeric_limits<float>::infinity();
    }
  }
}

/// Raises the references to the maxima of this block and brings the sums in line.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] void raise_references(
    RowState& state, const ScoreBlock& block) {
  alignas(64) float largest[kBlockRows];
  for (int64_t row = 0; row < kBlockRows; ++row) {
    const float* line = block.scores + row * block.stride;
    __m512 even = _mm512_loadu_ps(line);
    __m512 odd = _mm512_loadu_ps(line + 16);
    for (int64_t key = 32; key < block.keys; key += 32) {
      even = _mm512_max_ps(even, _mm512_loadu_ps(line + key));
      odd = _mm512_max_ps(odd, _mm512_loadu_ps(line + key + 16));
    }
    largest[row] = _mm512_reduce_max_ps(_mm512_max_ps(even, odd));
  }
  const __m512 scale = _mm512_set1_ps(block.scale);
  for (int64_t row = 0; row < kBlockRows; row += 16) {
    const __m512 former = _mm512_load_ps(state.reference + row);
    const __m512 latest =
        _mm512_max_ps(former, _mm512_mul_ps(_mm512_load_ps(largest + row), scale));
    _mm512_store_ps(state.reference + row, latest);
    _mm512_store_ps(state.correction + row, exp2_of<5>(_mm512_sub_ps(former, latest)));
  }
  for (int64_t row = 0; row < kBlockRows; ++row) {
    _mm512_store_ps(state.sums[row], _mm512_mul_ps(_mm512_load_ps(state.sums[row]),
                                                   _mm512_set1_ps(state.correction[row])));
  }
}

/// Weights of one row; returns their sum.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq"), gnu::always_inline]] inline __m512 weigh_row(
    const float* scores, int64_t keys, __m512 scale, __m512 reference, float* weights) {
  __m512 sum = _mm512_setzero_ps();
  for (int64_t key = 0; key < keys; key += 16) {
    const __m512 score = _mm512_loadu_ps(scores + key);
    const __m512 weight = exp2_of<5>(_mm512_fmsub_ps(score, scale, reference));
    sum = _mm512_add_ps(sum, weight);
    _mm512_storeu_ps(weights + key, weight);
  }
  return sum;
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"), gnu::always_inline]] inline __m512
weigh_row(const float* scores, int64_t keys, __m512 scale, __m512 reference, Bf16Bits* weights) {
  __m512 sum = _mm512_setzero_ps();
  for (int64_t key = 0; key < keys; key += 32) {
    const __m512 low = exp2_of<4>(_mm512_fmsub_ps(_mm512_loadu_ps(scores + key), scale, reference));
    const __m512 high =
        exp2_of<4>(_mm512_fmsub_ps(_mm512_loadu_ps(scores + key + 16), scale, reference));
    sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
    _mm512_storeu_si512(weights + key, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
  }
  return sum;
}

/// Weights of all rows. False, with the state untouched, when some outgrew the reference.
template <typename Element>
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] bool weigh_rows(
    RowState& state, const ScoreBlock& block, Element* weights) {
  const __m512 scale = _mm512_set1_ps(block.scale);
  const __m512 largest_sum = _mm512_set1_ps(0x1p60F);
  alignas(64) float sums[kBlockRows][16];
  for (int64_t row = 0; row < kBlockRows; ++row) {
    const __m512 sum =
        weigh_row(block.scores + row * block.stride, block.keys, scale,
                  _mm512_set1_ps(state.reference[row]), weights + row * block.stride);
    if (_mm512_cmp_ps_mask(sum, largest_sum, _CMP_GT_OQ) != 0) return false;
    _mm512_store_ps(sums[row], _mm512_add_ps(sum, _mm512_load_ps(state.sums[row])));
  }
  std::memcpy(state.sums, sums, sizeof(sums));
  return true;
}

template <typename Element>
bool softmax_block(RowState& state, const ScoreBlock& block, Element* weights) {
  if (block.valid < block.keys) mask_tail(block);
  if (state.started && weigh_rows(state, block, weights)) return false;
  raise_references(state, block);
  state.started = true;
  weigh_rows(state, block, weights);
  return true;
}

}  // namespace

bool softmax_rows(RowState& state, const ScoreBlock& block, float* weights) {
  return softmax_block(state, block, weights);
}

bool softmax_rows(RowState& state, const ScoreBlock& block, Bf16Bits* weights) {
  return softmax_block(state, block, weights);
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] void correct_rows(const RowState& state,
                                                                        float* sums,
                                                                        int64_t columns) {
  for (int64_t row = 0; row < kBlockRows; ++row) {
    const __m512 factor = _mm512_set1_ps(state.correction[row]);
    for (int64_t column = 0; column < columns; column += 16) {
      float* place = sums + row * columns + column;
      _mm512_storeu_ps(place, _mm512_mul_ps(_mm512_loadu_ps(place), factor));
    }
  }
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq")]] void finish_rows(
    const RowState& state, const float* sums, int64_t sums_stride, float* out, int64_t out_stride,
    int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    const __m512 factor =
        _mm512_set1_ps(1.0F / _mm512_reduce_add_ps(_mm512_load_ps(state.sums[row])));
    for (int64_t column = 0; column < columns; column += 16) {
      const auto lanes =
          static_cast<__mmask16>(columns - column >= 16 ? 0xFFFF : (1U << (columns - column)) - 1U);
      const __m512 value = _mm512_loadu_ps(sums + row * sums_stride + column);
      _mm512_mask_storeu_ps(out + row * out_stride + column, lanes, _mm512_mul_ps(value, factor));
    }
  }
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]] void finish_rows(
    const RowState& state, const float* sums, int64_t sums_stride, Bf16Bits* out,
    int64_t out_stride, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    const __m512 factor =
        _mm512_set1_ps(1.0F / _mm512_reduce_add_ps(_mm512_load_ps(state.sums[row])));
    for (int64_t column = 0; column < columns; column += 16) {
      const auto lanes =
          static_cast<__mmask16>(columns - column >= 16 ? 0xFFFF : (1U << (columns - column)) - 1U);
      const __m512 value = _mm512_loadu_ps(sums + row * sums_stride + column);
      const auto rounded =
          reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_mul_ps(value, factor)));
      _mm256_mask_storeu_epi16(out + row * out_stride + column, lanes, rounded);
    }
  }
}

#endif

}  // namespace sdrbee::nn::cpu
