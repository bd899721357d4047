// Masks of pictures where attention has tokens.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// Masks [B, H, W] fp32 over a picture, as factors of the picture's `tokens`, row by row,
/// [B, tokens, 1]: resized (bicubic, not antialiased) to a grid of the mask's proportions, cut or
/// filled with 0 where that has another number of cells. IPAdapterMaskProcessor.downsample of
/// diffusers.
Tensor mask_tokens(const Tensor& masks, int64_t tokens);

}  // namespace sdrbee
