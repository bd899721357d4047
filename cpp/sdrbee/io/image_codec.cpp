#include "sdrbee/io/image_codec.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/exif.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/inflate.h"
#include "sdrbee/io/jpeg_tables.h"
#include "sdrbee/io/stb.h"

namespace sdrbee::io {
namespace {

using Bytes = std::span<const std::byte>;

/// Progressive pictures come in up to about ten scans; each costs a pass over all pixels.
constexpr int64_t kMaxJpegScans = 100;

bool is_jpeg(Bytes file) {
  return file.size() >= 3 && file[0] == std::byte{0xff} && file[1] == std::byte{0xd8} &&
         file[2] == std::byte{0xff};
}

void check_size(PixelSize size, const std::string& origin) {
  const bool sides = size.width > 0 && size.height > 0 && size.width <= kMaxPictureSide &&
                     size.height <= kMaxPictureSide;
  if (!sides || size.width * size.height > kMaxPicturePixels)
    throw InvalidRequest(message("[", origin, "] expected a picture of 1 to ", kMaxPictureSide,
                                 " pixels a side and at most ", kMaxPicturePixels,
                                 " pixels but its header says ", size.width, "x", size.height));
}

/// Checks the header and that the compressed pixels are no more than it says.
int check_png(Bytes file, const std::string& origin) {
  const std::vector<PngChunk> chunks = read_png_chunks(file, origin);
  const Bytes header = chunks.front().payload;
  const PixelSize size = {read_png_number(header), read_png_number(header.subspan(4))};
  check_size(size, origin);
  std::vector<Bytes> pixels;
  int orientation = 1;
  for (const PngChunk& chunk : chunks) {
    if (chunk.type == "IDAT") pixels.push_back(chunk.payload);
    if (chunk.type == "eXIf") orientation = exif_orientation(chunk.payload);
  }
  // 8 bytes a pixel is RGBA at 16 bits; a filter byte a row, more rows when interlaced.
  const auto most = static_cast<uint64_t>(size.width * size.height * 8 + size.height * 16 + 64);
  if (count_inflated(pixels, most, origin) > most)
    throw InvalidRequest(message("[", origin, "] the PNG holds more data than its ", size.width,
                                 "x", size.height, " pixels"));
  return orientation;
}

int check_jpeg(Bytes file, const std::string& origin) {
  check_jpeg_tables(file, origin);
  const auto size = read_stb_size(file);
  if (!size) throw InvalidRequest(message("[", origin, "] the JPEG's header is damaged"));
  check_size(*size, origin);
  int64_t scans = 0;
  for (size_t i = 0; i + 1 < file.size(); ++i)
    scans += file[i] == std::byte{0xff} && file[i + 1] == std::byte{0xda} ? 1 : 0;
  if (scans > kMaxJpegScans)
    throw InvalidRequest(message("[", origin, "] expected a JPEG of at most ", kMaxJpegScans,
                                 " scans but got ", scans));
  return exif_orientation(find_jpeg_exif(file));
}

/// Grey with alpha as colour with alpha.
Image expand_grey_alpha(const Image& image) {
  Image result = {image.size, 4, {}};
  result.pixels.reserve(image.pixels.size() * 2);
  for (size_t i = 0; i < image.pixels.size(); i += 2) {
    result.pixels.insert(result.pixels.end(), 3, image.pixels[i]);
    result.pixels.push_back(image.pixels[i + 1]);
  }
  return result;
}

uint8_t paeth(int left, int up, int corner) {
  const int estimate = left + up - corner;
  const int to_left = std::abs(estimate - left);
  const int to_up = std::abs(estimate - up);
  const int to_corner = std::abs(estimate - corner);
  if (to_left <= to_up && to_left <= to_corner) return static_cast<uint8_t>(left);
  return static_cast<uint8_t>(to_up <= to_corner ? up : corner);
}

/// One row through one of PNG's five filters, the filter's number in front.
void filter_row(int filter, std::span<const uint8_t> row, std::span<const uint8_t> above,
                size_t channels, std::vector<uint8_t>& filtered) {
  filtered.resize(row.size() + 1);
  filtered[0] = static_cast<uint8_t>(filter);
  for (size_t i = 0; i < row.size(); ++i) {
    const int left = i >= channels ? row[i - channels] : 0;
    const int up = above.empty() ? 0 : above[i];
    const int corner = above.empty() || i < channels ? 0 : above[i - channels];
    const std::array<int, 5> predictions = {0, left, up, (left + up) / 2, paeth(left, up, corner)};
    filtered[i + 1] = static_cast<uint8_t>(row[i] - predictions[static_cast<size_t>(filter)]);
  }
}

/// The sum of distances from zero: small sums compress well.
int64_t filtered_cost(const std::vector<uint8_t>& filtered) {
  int64_t cost = 0;
  for (size_t i = 1; i < filtered.size(); ++i)
    cost += std::min<int>(filtered[i], 256 - filtered[i]);
  return cost;
}

std::vector<uint8_t> filter_image(const Image& image) {
  const auto row_bytes = static_cast<size_t>(image.size.width * image.channels);
  const std::span<const uint8_t> pixels(image.pixels);
  std::vector<uint8_t> result;
  result.reserve((row_bytes + 1) * static_cast<size_t>(image.size.height));
  std::vector<uint8_t> candidate;
  std::vector<uint8_t> best;
  std::span<const uint8_t> above;
  for (size_t start = 0; start < pixels.size(); start += row_bytes) {
    const auto row = pixels.subspan(start, row_bytes);
    best.clear();
    for (int filter = 0; filter < 5; ++filter) {
      filter_row(filter, row, above, static_cast<size_t>(image.channels), candidate);
      if (best.empty() || filtered_cost(candidate) < filtered_cost(best))
        std::swap(best, candidate);
    }
    result.insert(result.end(), best.begin(), best.end());
    above = row;
  }
  return result;
}

std::vector<std::byte> compress(const std::vector<uint8_t>& content) {
  uLongf length = ::compressBound(content.size());
  std::vector<std::byte> compressed(length);
  const int status = ::compress2(reinterpret_cast<Bytef*>(compressed.data()), &length,
                                 content.data(), content.size(), /*level=*/6);
  if (status != Z_OK) throw OutOfMemory("[encode_png] zlib has no memory");
  compressed.resize(length);
  return compressed;
}

void check_image(const Image& image) {
  SDRBEE_CHECK(image.channels == 1 || image.channels == 3 || image.channels == 4);
  SDRBEE_CHECK(image.size.width > 0 && image.size.height > 0);
  SDRBEE_CHECK(image.pixels.size() ==
               static_cast<size_t>(image.size.width * image.size.height * image.channels));
}

}  // namespace

Image decode_image(Bytes file, const std::string& origin) {
  if (!is_png(file) && !is_jpeg(file))
    throw InvalidRequest(message("[", origin, "] expected a PNG or JPEG picture"));
  if (file.size() > kMaxPictureFileBytes)
    throw InvalidRequest(message("[", origin, "] expected a file of at most ", kMaxPictureFileBytes,
                                 " bytes but got ", file.size()));
  const int orientation = is_png(file) ? check_png(file, origin) : check_jpeg(file, origin);
  Image image = decode_with_stb(file, origin);
  if (image.channels == 2) image = expand_grey_alpha(image);
  return apply_orientation(std::move(image), orientation);
}

Image load_image(const std::filesystem::path& path) {
  std::string file;
  try {
    file = read_file(path, kMaxPictureFileBytes);
  } catch (const CheckpointError& error) {
    throw InvalidRequest(error.what());  // a picture is the caller's input, not a model's file
  }
  return decode_image(std::as_bytes(std::span(file.data(), file.size())), path.string());
}

std::vector<std::byte> encode_png(const Image& image, std::span<const PngText> texts) {
  check_image(image);
  constexpr std::array<uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  constexpr std::array<uint8_t, 5> kColourTypes = {0, 0, 0, 2, 6};  // by channels
  std::array<uint8_t, 13> header = {};
  for (size_t i = 0; i < 4; ++i) {
    header[i] = static_cast<uint8_t>(image.size.width >> (24 - 8 * i));
    header[4 + i] = static_cast<uint8_t>(image.size.height >> (24 - 8 * i));
  }
  header[8] = 8;  // bits a channel
  header[9] = kColourTypes[static_cast<size_t>(image.channels)];
  const Bytes signature = std::as_bytes(std::span(kSignature));
  std::vector<std::byte> file(signature.begin(), signature.end());
  append_png_chunk(file, "IHDR", std::as_bytes(std::span(header)));
  for (const PngText& text : texts) append_png_text(file, text);
  append_png_chunk(file, "IDAT", compress(filter_image(image)));
  append_png_chunk(file, "IEND", {});
  return file;
}

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  check_image(image);
  if (quality < 1 || quality > 100)
    throw InvalidRequest(message("[quality] expected 1 to 100 but got ", quality));
  return encode_jpeg_with_stb(image, quality);
}

}  // namespace sdrbee::io
