#include "sdrbee/io/image_codec.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>

#include "hexadecimal.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/exif.h"
#include "sdrbee/io/json.h"
#include "support/golden.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::from_hexadecimal;
using testing::pixels_from_hexadecimal;
using testing::TemporaryFolder;
using testing::write_text;

Json golden() { return read_json(test::golden_path("pictures.json")); }

Image gradient(PixelSize size, int64_t channels) {
  Image image = {size, channels, {}};
  for (int64_t i = 0; i < size.width * size.height * channels; ++i)
    image.pixels.push_back(static_cast<uint8_t>(i * i / 7 + i));
  return image;
}

std::vector<std::byte> deflated(size_t zeros) {
  const std::vector<Bytef> content(zeros, 0);
  uLongf length = ::compressBound(zeros);
  std::vector<std::byte> compressed(length);
  ::compress(reinterpret_cast<Bytef*>(compressed.data()), &length, content.data(), zeros);
  compressed.resize(length);
  return compressed;
}

/// A PNG whose header says this size, whatever `pixels` hold.
std::vector<std::byte> png_of(uint32_t width, uint32_t height,
                              const std::vector<std::byte>& pixels) {
  std::vector<std::byte> file = encode_png(gradient({1, 1}, 3));
  file.resize(8);
  std::vector<std::byte> header;
  for (const uint32_t side : {width, height})
    for (int shift = 24; shift >= 0; shift -= 8) header.push_back(std::byte(side >> shift & 255));
  for (const int value : {8, 2, 0, 0, 0}) header.push_back(std::byte(value));
  append_png_chunk(file, "IHDR", header);
  append_png_chunk(file, "IDAT", pixels);
  append_png_chunk(file, "IEND", {});
  return file;
}

TEST(DecodeImage, EqualsPillow) {
  const Json pictures = golden();
  for (const Json& item : pictures["decoded"]) {
    const std::string name = item["name"];
    const Image image = decode_image(from_hexadecimal(item["file"]), name);
    EXPECT_EQ(image.size, (PixelSize{item["size"][0], item["size"][1]})) << name;
    EXPECT_EQ(image.channels, item["channels"].get<int64_t>()) << name;
    const auto expected = pixels_from_hexadecimal(item["pixels"]);
    ASSERT_EQ(image.pixels.size(), expected.size()) << name;
    // Two JPEG decoders round differently; PNG is exact.
    const int tolerance = item["tolerance"];
    for (size_t i = 0; i < expected.size(); ++i)
      ASSERT_LE(std::abs(image.pixels[i] - expected[i]), tolerance) << name << " at " << i;
  }
}

TEST(DecodeImage, RefusesABombFromItsHeader) {
  expect_error<InvalidRequest>([] { decode_image(png_of(50'000, 50'000, {}), "bomb.png"); },
                               "bomb.png", "50000x50000");
  expect_error<InvalidRequest>([] { decode_image(png_of(16'000, 16'000, {}), "b.png"); }, "pixels");
  expect_error<InvalidRequest>([] { decode_image(png_of(0, 5, {}), "b.png"); }, "0x5");
  expect_error<InvalidRequest>([] { decode_image(png_of(0xffffffff, 1, {}), "b.png"); }, "side");
}

TEST(DecodeImage, RefusesMoreDataThanTheHeaderAnnounces) {
  const auto bomb = png_of(4, 4, deflated(50'000'000));
  EXPECT_LT(bomb.size(), 100'000U);
  expect_error<InvalidRequest>([&] { decode_image(bomb, "bomb.png"); }, "bomb.png", "4x4");
}

TEST(DecodeImage, RefusesOtherFormatsAndDamagedFiles) {
  const auto refuse = [](std::vector<std::byte> file, const char* part) {
    expect_error<InvalidRequest>([&] { decode_image(file, "p"); }, "[p]", part);
  };
  refuse({}, "PNG or JPEG");
  refuse(from_hexadecimal("474946383961"), "PNG or JPEG");
  std::vector<std::byte> file = encode_png(gradient({9, 9}, 3));
  file[60] ^= std::byte{1};
  refuse(file, "checksum");
  refuse(png_of(4, 4, from_hexadecimal("789cffffff")), "damaged");
  refuse(png_of(4, 4, deflated(3)), "cannot decode");
  refuse(from_hexadecimal("ffd8ffe000104a46"), "header is damaged");
}

TEST(DecodeImage, RefusesAJpegWithAnOverfullHuffmanTable) {
  const std::vector<std::byte> sound = encode_jpeg(gradient({8, 8}, 3), 90);
  EXPECT_NO_THROW(decode_image(sound, "p"));
  size_t tables = 0;
  for (size_t i = 0; i + 1 < sound.size(); ++i) {
    if (sound[i] != std::byte{0xff} || sound[i + 1] != std::byte{0xc4}) continue;
    ++tables;
    std::vector<std::byte> file = sound;
    file[i + 5] = file[i + 6] = std::byte{0xfe};  // marker, length, number, then the counts
    expect_error<InvalidRequest>([&] { decode_image(file, "p"); }, "Huffman");
  }
  EXPECT_GT(tables, 0U);
}

TEST(DecodeImage, RefusesAJpegOfEndlessScans) {
  std::vector<std::byte> file = encode_jpeg(gradient({8, 8}, 3), 90);
  for (int scan = 0; scan < 200; ++scan)
    for (const int value : {0xff, 0xda, 0, 8}) file.push_back(std::byte(value));
  expect_error<InvalidRequest>([&] { decode_image(file, "p.jpg"); }, "p.jpg", "scans");
}

TEST(DecodeImage, AnyTruncationIsATypedError) {
  for (const std::vector<std::byte>& file :
       {encode_png(gradient({9, 7}, 4)), encode_jpeg(gradient({9, 7}, 3), 80)})
    for (size_t length = 0; length + 2 < file.size(); ++length) {
      try {
        decode_image(std::span(file).first(length), "p");
        EXPECT_TRUE(!is_png(file)) << length;  // decoders of JPEG fill up what is missing
      } catch (const InvalidRequest&) {
      }
    }
}

TEST(LoadImage, NamesAFileThatIsMissing) {
  const TemporaryFolder folder;
  expect_error<InvalidRequest>([&] { load_image(folder / "none.png"); }, "none.png");
  write_text(folder / "x.png", "text");
  expect_error<InvalidRequest>([&] { load_image(folder / "x.png"); }, "x.png", "PNG or JPEG");
}

TEST(EncodePng, ComesBackUnchangedWithItsTexts) {
  for (const int64_t channels : {1, 3, 4}) {
    const Image image = gradient({33, 21}, channels);
    const std::vector<PngText> texts = {{"parameters", "a café"}, {"note", "猫"}};
    const auto file = encode_png(image, texts);
    EXPECT_EQ(file, encode_png(image, texts));
    EXPECT_EQ(decode_image(file, "p"), image);
    EXPECT_EQ(read_png_texts(file, "p"), texts);
  }
}

TEST(EncodePng, CompressesASmoothPicture) {
  Image image = {{64, 64}, 3, {}};
  for (int64_t y = 0; y < 64; ++y)
    for (int64_t x = 0; x < 64 * 3; ++x) image.pixels.push_back(static_cast<uint8_t>(y * 3 + x));
  EXPECT_LT(encode_png(image).size(), 1000U);
}

TEST(EncodeJpeg, ComesBackNearlyUnchanged) {
  Image image = {{24, 16}, 3, {}};
  for (int64_t y = 0; y < 16; ++y)
    for (int64_t x = 0; x < 24; ++x)
      for (int64_t c = 0; c < 3; ++c) image.pixels.push_back(static_cast<uint8_t>(4 * x + 5 * y));
  const Image decoded = decode_image(encode_jpeg(image, 95), "p");
  EXPECT_EQ(decoded.size, image.size);
  for (size_t i = 0; i < image.pixels.size(); ++i)
    ASSERT_LE(std::abs(decoded.pixels[i] - image.pixels[i]), 8);
  EXPECT_THROW(encode_jpeg(image, 0), InvalidRequest);
  EXPECT_THROW(encode_jpeg(image, 101), InvalidRequest);
}

TEST(ExifOrientation, IsUprightForDamagedBlocks) {
  EXPECT_EQ(exif_orientation({}), 1);
  // "II", 42, directory at 8, one entry: tag 0x0112, SHORT, one value, 6.
  const auto block = from_hexadecimal("49492a00080000000100120103000100000006000000");
  EXPECT_EQ(exif_orientation(block), 6);
  for (size_t length = 0; length < block.size(); ++length)
    EXPECT_EQ(exif_orientation(std::span(block).first(length)), 1) << length;
  EXPECT_EQ(exif_orientation(from_hexadecimal("49492a00ffffffff0100120103000100000006000000")), 1);
  EXPECT_EQ(exif_orientation(from_hexadecimal("49492a00080000000100120103000100000009000000")), 1);
}

}  // namespace
}  // namespace sdrbee::io
