#include "sdrbee/core/resample.h"

#include <gtest/gtest.h>

#include "io/hexadecimal.h"
#include "sdrbee/io/json.h"
#include "support/golden.h"

namespace sdrbee {
namespace {

/// Grey levels without a pattern that a filter could hide behind.
Image picture(PixelSize size) {
  Image image{size, 1, {}};
  for (int64_t i = 0; i < size.width * size.height; ++i)
    image.pixels.push_back(static_cast<uint8_t>((i * i * 7 + i * 13) % 256));
  return image;
}

// x = np.arange(35); a = ((x * x * 7 + x * 13) % 256).astype(np.uint8).reshape(5, 7)
// np.asarray(PIL.Image.fromarray(a).resize((4, 3), PIL.Image.LANCZOS)), Pillow 12
TEST(ResizeLanczos, ShrinksAsPillowDoes) {
  EXPECT_EQ(resize_lanczos(picture({7, 5}), {4, 3}).pixels,
            (std::vector<uint8_t>{60, 67, 173, 134, 103, 199, 182, 184, 111, 136, 177, 108}));
}

// the same with resize((9, 6))
TEST(ResizeLanczos, EnlargesAsPillowDoes) {
  EXPECT_EQ(
      resize_lanczos(picture({7, 5}), {9, 6}).pixels,
      (std::vector<uint8_t>{0,   9,   34,  59,  106, 141, 237, 194, 64,  159, 45,  58,  131, 61,
                            177, 213, 111, 45,  101, 148, 214, 191, 132, 213, 205, 172, 200, 0,
                            119, 228, 212, 237, 153, 188, 233, 196, 88,  79,  82,  158, 242, 120,
                            145, 150, 50,  234, 177, 45,  59,  216, 189, 129, 99,  89}));
}

TEST(ResizeLanczos, KeepsChannelsApart) {
  Image image{{2, 2}, 3, {255, 0, 9, 255, 0, 9, 255, 0, 9, 255, 0, 9}};
  const Image larger = resize_lanczos(image, {5, 4});
  for (size_t i = 0; i < larger.pixels.size(); i += 3) {
    EXPECT_EQ(larger.pixels[i], 255);
    EXPECT_EQ(larger.pixels[i + 1], 0);
    EXPECT_EQ(larger.pixels[i + 2], 9);
  }
}

/// `source` of tests/python/golden/make_pictures.py.
Image golden_source(PixelSize size, int64_t channels) {
  Image image{size, channels, {}};
  for (int64_t y = 0; y < size.height; ++y)
    for (int64_t x = 0; x < size.width; ++x)
      for (int64_t c = 0; c < channels; ++c)
        image.pixels.push_back(
            static_cast<uint8_t>((37 * x + 91 * y + 53 * c + x * y * (c + 3)) % 256));
  return image;
}

PixelSize size_of(const io::Json& sides) {
  return {sides[0].get<int64_t>(), sides[1].get<int64_t>()};
}

// Sizes of both orders of passes, grey to RGBA. One level is left for another libm's sine.
TEST(ResizeLanczos, EqualsPillowWithinOneLevel) {
  const io::Json golden = io::read_json(test::golden_path("pictures.json"));
  ASSERT_FALSE(golden["resized"].empty());
  for (const io::Json& item : golden["resized"]) {
    const Image source = golden_source(size_of(item["from"]), item["channels"].get<int64_t>());
    const Image resized = resize_lanczos(source, size_of(item["to"]));
    const auto expected = io::testing::pixels_from_hexadecimal(item["pixels"]);
    ASSERT_EQ(resized.pixels.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(resized.pixels[i], expected[i], 1) << item["from"] << item["to"] << " at " << i;
  }
}

}  // namespace
}  // namespace sdrbee
