// The orientation that cameras note in their pictures.
#pragma once

#include <cstddef>
#include <span>

#include "sdrbee/core/image.h"

namespace sdrbee::io {

/// The orientation (1 to 8, EXIF 2.3 tag 0x0112) in a TIFF block as EXIF has it; 1, upright, when
/// there is none or the block is damaged.
int exif_orientation(std::span<const std::byte> tiff);

/// The TIFF block in the first EXIF segment of a JPEG file; empty when there is none.
std::span<const std::byte> find_jpeg_exif(std::span<const std::byte> file);

/// The picture turned and mirrored so that it is upright.
Image apply_orientation(Image image, int orientation);

}  // namespace sdrbee::io
