// The vector arithmetic of attention between its two matrix products.
#pragma once

#include <cstdint>

#include "sdrbee/nn/cpu/block_gemm.h"

namespace sdrbee::nn::cpu {

/// Running softmax of 32 rows over blocks of keys (Milakov and Gimelshein 2018,
/// arXiv:1805.02867, algorithm 3), kept in powers of two. The reference that is subtracted from the
/// scores is the maximum of the first block: softmax does not depend on it, so it is raised only
/// where weights outgrow 2^60.
struct RowState {
  alignas(64) float reference[kBlockRows];   ///< subtracted from the scaled scores, log2 units
  alignas(64) float correction[kBlockRows];  ///< what the former sums must be multiplied by
  alignas(64) float sums[kBlockRows][16];    ///< sum of weights, spread over 16 lanes
  bool started = false;                      ///< whether a block of keys was seen
};

/// One block of scores [32, keys], rows `stride` apart, scores and weights alike.
struct ScoreBlock {
  float* scores;
  int64_t stride;
  int64_t keys;   ///< a multiple of 32
  int64_t valid;  ///< columns from here on get weight 0
  float scale;    ///< of the scores, with log2(e)
};

/// Starts a row block: no key seen.
void start_rows(RowState& state);

/// Writes the weights exp2(score * scale - reference) and adds them to the state's sums. Returns
/// whether the reference moved, so that sums over former blocks must be corrected.
bool softmax_rows(RowState& state, const ScoreBlock& block, float* weights);
/// The same with weights rounded to bf16.
bool softmax_rows(RowState& state, const ScoreBlock& block, Bf16Bits* weights);

/// Multiplies the rows of sums [32, columns] (columns a multiple of 16) by the corrections.
void correct_rows(const RowState& state, float* sums, int64_t columns);

/// Writes sums / weight of `rows` rows and `columns` columns to `out` with a stride in elements.
void finish_rows(const RowState& state, const float* sums, int64_t sums_stride, float* out,
                 int64_t out_stride, int64_t rows, int64_t columns);
void finish_rows(const RowState& state, const float* sums, int64_t sums_stride, Bf16Bits* out,
                 int64_t out_stride, int64_t rows, int64_t columns);

}  // namespace sdrbee::nn::cpu
