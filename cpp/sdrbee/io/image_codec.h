// PNG and JPEG pictures to pixels and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/core/image.h"
#include "sdrbee/io/png_text.h"

namespace sdrbee::io {

/// Limits of pictures that are decoded: pixels a side, pixels in all, and bytes of the file.
inline constexpr int64_t kMaxPictureSide = 16384;
inline constexpr int64_t kMaxPicturePixels = 64'000'000;
inline constexpr uint64_t kMaxPictureFileBytes = 256 << 20;

/// Decodes a PNG or JPEG file to 8 bits a channel, upright (EXIF orientation is applied). The
/// result has 1, 3 or 4 channels; grey with alpha becomes 4.
/// The size is checked in the header before anything is decompressed. Throws InvalidRequest naming
/// `origin` when the picture is too large, damaged, or of another format.
Image decode_image(std::span<const std::byte> file, const std::string& origin);

/// Reads and decodes a file. Throws InvalidRequest naming the path when it can't be read.
Image load_image(const std::filesystem::path& path);

/// A PNG file with texts behind its header. The same picture gives the same bytes.
std::vector<std::byte> encode_png(const Image& image, std::span<const PngText> texts = {});

/// A JPEG file; `quality` 1..100; alpha is dropped. Throws InvalidRequest for another quality.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);

}  // namespace sdrbee::io
