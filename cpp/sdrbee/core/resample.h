// Changing the size of a picture.
#pragma once

#include "sdrbee/core/image.h"

namespace sdrbee {

/// Resizes with a Lanczos filter of three lobes, widened when the picture shrinks. Gives the grey
/// levels of Pillow 13's `Image.resize(size, LANCZOS)`: one direction after the other, each rounded
/// to 8 bits, colours weighted by alpha
/// (https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c).
/// `size` is at least 1x1.
Image resize_lanczos(const Image& image, PixelSize size);

/// The same with Pillow's BICUBIC: a cubic of -0.5 over two pixels to each side.
Image resize_bicubic(const Image& image, PixelSize size);

}  // namespace sdrbee
