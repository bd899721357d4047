// Pictures of a request made ready for the network, as diffusers' VaeImageProcessor does.
#pragma once

#include "sdrbee/core/image.h"
#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// An RGB picture of `size` (Lanczos) as [1, 3, H, W] fp32 in -1..1; alpha is dropped, grey is
/// spread over three channels.
Tensor picture_to_tensor(const Image& image, PixelSize size);

/// A mask of `size` as [1, 1, H, W] fp32 with 0 and 1: 1 (light, from grey level 128 on) repaints.
Tensor mask_to_tensor(const Image& mask, PixelSize size);

/// Latents as [1, C, h, w] fp32.
Tensor latents_to_tensor(const LatentImage& latents);

/// A decoded picture [1, 3, H, W] in -1..1 as [H, W, 3] fp32 on the CPU in 0..1.
Tensor picture_to_float(const Tensor& picture);

/// [H, W, 3] in 0..1 rounded (half to even) to 8 bits.
Image float_to_image(const Tensor& values);

/// `generated`, at the source's own size, with the source's pixels back where the mask is 0.
Image keep_unmasked(const Image& generated, const Image& source, const Image& mask);

}  // namespace sdrbee
