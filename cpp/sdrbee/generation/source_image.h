// Pictures of a request made ready for the network, as diffusers' VaeImageProcessor does.
#pragma once

#include "sdrbee/core/image.h"
#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// An RGB picture of `size` (Lanczos) as [1, 3, H, W] fp32 in -1..1; alpha is dropped, grey is
/// spread over three channels.
Tensor picture_to_tensor(const Image& image, PixelSize size);

/// The same in 0..1, as control networks take it.
Tensor levels_to_tensor(const Image& image, PixelSize size);

/// A mask of `size` (Lanczos) as [1, 1, H, W] fp32 in 0..1: 1 (white) repaints. A mask of black and
/// white alone is cut to 0 and 1 at grey level 128 after the resize, as diffusers does; one with
/// grey levels keeps them.
Tensor mask_to_tensor(const Image& mask, PixelSize size);

/// Whether a mask of one channel has levels between black and white.
bool has_grey_levels(const Image& mask);

/// A mask of one channel cut to black and white at grey level 128.
Image cut_at_half(Image mask);

/// One channel: ITU-R 601 luma as PIL computes it.
Image grey(const Image& image);

/// Three channels: alpha is dropped, grey is spread.
Image colours(const Image& image);

/// Latents as [1, C, h, w] fp32.
Tensor latents_to_tensor(const LatentImage& latents);

/// A decoded picture [1, 3, H, W] in -1..1 as [H, W, 3] fp32 on the CPU in 0..1.
Tensor picture_to_float(const Tensor& picture);

/// A picture as [H, W, channels] fp32 in 0..1.
Tensor image_to_float(const Image& image);

/// [H, W, 3] in 0..1 rounded (half to even) to 8 bits.
Image float_to_image(const Tensor& values);

/// `generated`, at the source's own size, blended with the source's pixels by the mask: where it is
/// 0 they come back as they were, where it is white nothing of them is left.
Image keep_unmasked(const Image& generated, const Image& source, const Image& mask);

}  // namespace sdrbee
