#include <gtest/gtest.h>
#include <zlib.h>

#include <string>

#include "io/hexadecimal.h"
#include "mutations.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/image_codec.h"
#include "sdrbee/io/json.h"
#include "support/golden.h"

namespace sdrbee::fuzz {
namespace {

void decode(std::span<const std::byte> bytes) {
  try {
    const Image image = io::decode_image(bytes, "input");
    const int64_t expected = image.size.width * image.size.height * image.channels;
    if (std::ssize(image.pixels) != expected) throw std::logic_error("wrong number of pixels");
  } catch (const InvalidRequest&) {
  }
  try {
    io::read_png_texts(bytes, "input");
  } catch (const InvalidRequest&) {
  }
}

size_t big_endian(std::span<const std::byte> bytes) {
  size_t value = 0;
  for (const std::byte byte : bytes.first(4)) value = value << 8 | std::to_integer<size_t>(byte);
  return value;
}

/// The PNG with right checksums, so that mutations get past them to the decoder.
Input with_right_checksums(std::span<const std::byte> bytes) {
  Input file(bytes.begin(), bytes.end());
  for (size_t position = 8; position + 12 <= file.size();) {
    const std::span<std::byte> chunk = std::span(file).subspan(position);
    const size_t length = big_endian(chunk);
    if (length > chunk.size() - 12) break;
    const uLong sum = ::crc32_z(0, reinterpret_cast<const Bytef*>(&chunk[4]), length + 4);
    for (size_t i = 0; i < 4; ++i) chunk[8 + length + i] = std::byte(sum >> (24 - 8 * i) & 255);
    position += 12 + length;
  }
  return file;
}

/// Pictures of all kinds, as Pillow writes them.
std::vector<Input> picture_files() {
  const io::Json golden = io::read_json(test::golden_path("pictures.json"));
  std::vector<Input> files = {io::testing::from_hexadecimal(golden["texts"]["file"])};
  for (const io::Json& item : golden["decoded"])
    files.push_back(io::testing::from_hexadecimal(item["file"]));
  return files;
}

TEST(PictureFuzz, MutatedPicturesAreRefusedOrDecoded) {
  run_mutations(picture_files(), 5'000, [](std::span<const std::byte> bytes) {
    decode(bytes);
    decode(with_right_checksums(bytes));
  });
}

}  // namespace
}  // namespace sdrbee::fuzz

#ifdef SDRBEE_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  sdrbee::fuzz::decode(std::as_bytes(std::span(bytes, count)));
  return 0;
}
#endif
