// Numbers to the blocks of 256 values whose groups have scales of their own (Q4_K and Q6_K).
#pragma once

#include <cstdint>

namespace sdrbee::io {

/// One block of Q4_K (144 bytes) from 256 values: eight groups of 32, each with a scale and an
/// offset that fit its values in the least squares sense, searched over ranges around that of the
/// values.
void quantise_q4_k(const float* values, uint8_t* block);

/// One block of Q6_K (210 bytes) from 256 values: sixteen groups of 16, each with the scale of
/// least squares.
void quantise_q6_k(const float* values, uint8_t* block);

}  // namespace sdrbee::io
