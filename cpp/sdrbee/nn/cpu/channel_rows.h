// Loops over rows of channels, compiled for AVX-512 and for the compiler's own target.
#pragma once

#include <cstdint>

#include "sdrbee/nn/cpu/block_gemm.h"

namespace sdrbee::nn::cpu {

/// Sums of one part of a picture: `rows` rows of `channels` values behind each other.
template <typename Element>
struct ChannelSums {
  const Element* rows_start;
  int64_t rows;
  int64_t channels;
  float* sums;     ///< [channels], of the differences to the first row
  float* squares;  ///< [channels], of their squares
};
void sum_channels(const ChannelSums<float>& part);
void sum_channels(const ChannelSums<Bf16Bits>& part);

/// Each value times its channel's scale plus its channel's offset, through silu where wanted.
template <typename Element>
struct ChannelScaling {
  const Element* source;
  Element* target;
  int64_t rows;
  int64_t channels;
  const float* scale;   ///< [channels]
  const float* offset;  ///< [channels]
  bool silu;
};
void scale_channels(const ChannelScaling<float>& part);
void scale_channels(const ChannelScaling<Bf16Bits>& part);

}  // namespace sdrbee::nn::cpu
