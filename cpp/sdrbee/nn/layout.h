// Pictures and token sequences. Inside networks a picture [B, C, H, W] lies in memory channels
// last, so that its pixels as tokens [B, H*W, C] are the same memory seen in another shape.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn {

/// `picture` [B, C, H, W] with its channels last in memory; the same tensor when they are already.
Tensor channels_last(const Tensor& picture);

/// [B, C, H, W] -> [B, H*W, C]; a view when the channels are last in memory.
Tensor picture_to_tokens(const Tensor& picture);

/// [B, height*width, C] -> [B, C, height, width] with channels last in memory.
Tensor tokens_to_picture(const Tensor& tokens, int64_t height, int64_t width);

/// `pictures` joined along their channels, channels last in memory.
Tensor join_channels(const Tensor& first, const Tensor& second);

}  // namespace sdrbee::nn
