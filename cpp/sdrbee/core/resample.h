// Changing the size of a picture.
#pragma once

#include "sdrbee/core/image.h"

namespace sdrbee {

/// Resizes with a Lanczos filter of three lobes, widened when the picture shrinks. Gives the grey
/// levels of Pillow's `Image.resize(size, LANCZOS)`: columns first, then rows, each rounded to 8
/// bits (https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c).
/// `size` is at least 1x1.
Image resize_lanczos(const Image& image, PixelSize size);

}  // namespace sdrbee
