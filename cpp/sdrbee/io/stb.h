// The one place that uses the stb libraries: https://github.com/nothings/stb
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/core/image.h"

namespace sdrbee::io {

/// The size in the header of a PNG or JPEG file; nothing when there is no readable header.
std::optional<PixelSize> read_stb_size(std::span<const std::byte> file);

/// The pixels as stored, with 1 to 4 channels (2: grey and alpha). Check the size before.
/// Throws InvalidRequest naming `origin`.
Image decode_with_stb(std::span<const std::byte> file, const std::string& origin);

/// A baseline JPEG file, `quality` 1..100.
std::vector<std::byte> encode_jpeg_with_stb(const Image& image, int quality);

}  // namespace sdrbee::io
