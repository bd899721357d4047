// Latents as the tokens of FLUX's network, and back.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee::flux {

/// Latent cells on a side of a token.
inline constexpr int64_t kPatch = 2;

/// [B, C, h, w] -> [B, h/2 * w/2, C*4], tokens row by row; h and w are even.
Tensor pack_latents(const Tensor& latents);

/// The inverse for latents of `height` x `width` cells: [B, h/2 * w/2, C*4] -> [B, C, h, w].
Tensor unpack_latents(const Tensor& tokens, int64_t height, int64_t width);

/// Positions of the tokens of latents of `height` x `width` cells: [h/2 * w/2, 3] fp64, the number
/// of the picture, row and column.
Tensor token_positions(int64_t height, int64_t width, int64_t picture);

}  // namespace sdrbee::flux
