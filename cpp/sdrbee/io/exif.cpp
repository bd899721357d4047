#include "sdrbee/io/exif.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

namespace sdrbee::io {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kShortType = 3;
constexpr size_t kEntryBytes = 12;

/// Numbers of a TIFF block in its own byte order; 0 where it is too short.
class TiffReader {
 public:
  explicit TiffReader(Bytes bytes)
      : bytes_(bytes), big_endian_(!bytes.empty() && bytes[0] == std::byte{'M'}) {}

  uint32_t number(size_t offset, size_t length) const {
    if (offset > bytes_.size() || bytes_.size() - offset < length) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < length; ++i) {
      const size_t at = big_endian_ ? i : length - 1 - i;
      value = value << 8 | std::to_integer<uint32_t>(bytes_[offset + at]);
    }
    return value;
  }

 private:
  Bytes bytes_;
  bool big_endian_;
};

/// The source pixel of the target's (x, y); `last` is the source's bottom right pixel.
std::pair<int64_t, int64_t> source_of(int orientation, int64_t x, int64_t y, PixelSize last) {
  switch (orientation) {
    case 2:
      return {last.width - x, y};
    case 3:
      return {last.width - x, last.height - y};
    case 4:
      return {x, last.height - y};
    case 5:
      return {y, x};
    case 6:
      return {y, last.height - x};
    case 7:
      return {last.width - y, last.height - x};
    case 8:
      return {last.width - y, x};
    default:
      return {x, y};
  }
}

}  // namespace

int exif_orientation(Bytes tiff) {
  const TiffReader reader(tiff);
  if (reader.number(2, 2) != 42) return 1;
  const size_t directory = reader.number(4, 4);
  const uint32_t count = reader.number(directory, 2);
  for (size_t i = 0; i < count; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (entry + kEntryBytes > tiff.size()) return 1;
    if (reader.number(entry, 2) != kOrientationTag) continue;
    const uint32_t value = reader.number(entry + 8, 2);
    const bool valid = reader.number(entry + 2, 2) == kShortType && value >= 1 && value <= 8;
    return valid ? static_cast<int>(value) : 1;
  }
  return 1;
}

Bytes find_jpeg_exif(Bytes file) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  size_t position = 2;  // behind the start marker
  while (position + 4 <= file.size() && file[position] == std::byte{0xff}) {
    const int marker = std::to_integer<int>(file[position + 1]);
    if (marker == 0xda || marker == 0xd9) break;  // pixels start, or the file ends
    const size_t length = std::to_integer<size_t>(file[position + 2]) << 8 |
                          std::to_integer<size_t>(file[position + 3]);
    if (length < 2 || position + 2 + length > file.size()) break;
    const Bytes segment = file.subspan(position + 4, length - 2);
    if (marker == 0xe1 && segment.size() > kExif.size() &&
        std::memcmp(segment.data(), kExif.data(), kExif.size()) == 0)
      return segment.subspan(kExif.size());
    position += 2 + length;
  }
  return {};
}

Image apply_orientation(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const PixelSize last = {image.size.width - 1, image.size.height - 1};
  Image turned = image;
  if (orientation >= 5) std::swap(turned.size.width, turned.size.height);
  uint8_t* target = turned.pixels.data();
  for (int64_t y = 0; y < turned.size.height; ++y)
    for (int64_t x = 0; x < turned.size.width; ++x) {
      const auto [source_x, source_y] = source_of(orientation, x, y, last);
      const uint8_t* source =
          image.pixels.data() + (source_y * image.size.width + source_x) * image.channels;
      target = std::copy_n(source, image.channels, target);
    }
  return turned;
}

}  // namespace sdrbee::io
