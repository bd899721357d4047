#include "sdrbee/generation/inpaint_source.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/hexadecimal.h"
#include "sdrbee/core/blur.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/resample.h"
#include "sdrbee/io/json.h"
#include "support/golden.h"

namespace sdrbee {
namespace {

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

io::Json golden_rows(const char* kind) {
  return io::read_json(test::golden_path("masking.json")).at(kind);
}

PixelBox box_of(const io::Json& sides) {
  return {sides[0].get<int64_t>(), sides[1].get<int64_t>(), sides[2].get<int64_t>(),
          sides[3].get<int64_t>()};
}

Image plain(PixelSize size, int64_t channels, uint8_t level) {
  return {size, channels,
          std::vector<uint8_t>(static_cast<size_t>(size.width * size.height * channels), level)};
}

/// A mask that is `level` inside a box and black outside.
Image boxed(PixelSize size, const PixelBox& box, uint8_t level) {
  Image mask = plain(size, 1, 0);
  for (int64_t y = box.top; y < box.bottom; ++y)
    for (int64_t x = box.left; x < box.right; ++x)
      mask.pixels[static_cast<size_t>(y * size.width + x)] = level;
  return mask;
}

TEST(GaussianBlur, EqualsPillow) {
  for (const io::Json& row : golden_rows("blurred")) {
    SCOPED_TRACE(row.at("radius").dump());
    const Image image = golden_source(size_of(row.at("size")), row.at("channels"));
    EXPECT_EQ(gaussian_blur(image, row.at("radius")).pixels,
              io::testing::pixels_from_hexadecimal(row.at("pixels").get<std::string>()));
  }
}

TEST(GaussianBlur, OfRadius0ChangesNothing) {
  const Image image = golden_source({5, 4}, 3);
  EXPECT_EQ(gaussian_blur(image, 0), image);
}

TEST(MaskedArea, EqualsDiffusers) {
  for (const io::Json& row : golden_rows("cropped")) {
    SCOPED_TRACE(row.dump());
    const Image mask = boxed(size_of(row.at("size")), box_of(row.at("box")), 1);
    EXPECT_EQ(masked_area(mask, row.at("padding"), size_of(row.at("to"))), box_of(row.at("area")));
  }
}

TEST(MaskedArea, RefusesAMaskWithoutAnything) {
  EXPECT_THROW(masked_area(plain({8, 8}, 1, 0), 4, {8, 8}), InvalidRequest);
}

TEST(Fitted, EqualsDiffusersResizeModeFill) {
  for (const io::Json& row : golden_rows("fitted")) {
    SCOPED_TRACE(row.at("size").dump());
    const Image image = golden_source(size_of(row.at("size")), row.at("channels"));
    EXPECT_EQ(fitted(image, size_of(row.at("to"))).pixels,
              io::testing::pixels_from_hexadecimal(row.at("pixels").get<std::string>()));
  }
}

TEST(InpaintSource, OutpaintingRepeatsTheEdgesAndMasksTheMargins) {
  GenerationRequest request;
  request.image = Image{{2, 1}, 3, {1, 2, 3, 4, 5, 6}};
  request.outpaint = {1, 0, 2, 1};
  const InpaintSource source = inpaint_source(request);
  EXPECT_EQ(source.canvas.size, (PixelSize{5, 2}));
  EXPECT_EQ(source.canvas.pixels,
            (std::vector<uint8_t>{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6,  //
                                  1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6}));
  EXPECT_EQ(source.mask.pixels,
            (std::vector<uint8_t>{255, 0, 0, 255, 255, 255, 255, 255, 255, 255}));
}

TEST(InpaintSource, TheMaskedPartGoesBackToItsPlace) {
  GenerationRequest request;
  request.image = golden_source({40, 30}, 3);
  request.mask = boxed({40, 30}, {20, 10, 28, 18}, 255);
  request.inpaint_area = "masked";
  request.mask_padding = 2;
  request.width = request.height = 24;
  const InpaintSource source = inpaint_source(request);
  EXPECT_EQ(source.area, (PixelBox{18, 8, 30, 20}));
  EXPECT_EQ(source.picture.size, (PixelSize{24, 24}));
  const Image result = paste_back(plain({24, 24}, 3, 200), source, /*keep=*/true);
  ASSERT_EQ(result.size, request.image->size);
  for (int64_t i = 0; i < 40 * 30; ++i) {
    const bool inside = request.mask->pixels[static_cast<size_t>(i)] > 0;
    const auto at = static_cast<size_t>(3 * i);
    EXPECT_EQ(result.pixels[at], inside ? 200 : request.image->pixels[at]) << i;
  }
}

TEST(InpaintSource, AMaskWithoutGreysHasNoneAtTheSizeOfTheModel) {
  GenerationRequest request;
  request.image = golden_source({40, 30}, 3);
  request.inpaint_area = "masked";
  request.mask_padding = 3;
  request.width = request.height = 40;
  const auto greys = [&](uint8_t level) {
    request.mask = boxed({40, 30}, {20, 10, 28, 18}, level);
    const std::vector<uint8_t> mask = inpaint_source(request).picture_mask.pixels;
    return std::ranges::count_if(mask, [](uint8_t value) { return value > 0 && value < 255; });
  };
  EXPECT_EQ(greys(255), 0);
  EXPECT_GT(greys(128), 0);
}

// VaeImageProcessor._resize_and_crop: the area is wider than what was painted for it.
TEST(InpaintSource, AnAreaOfAnotherShapeIsCoveredFromTheMiddle) {
  GenerationRequest request;
  request.image = golden_source({64, 16}, 3);
  request.mask = boxed({64, 16}, {12, 0, 52, 16}, 255);
  request.inpaint_area = "masked";
  request.mask_padding = 0;
  request.width = request.height = 32;
  const InpaintSource source = inpaint_source(request);
  ASSERT_EQ(source.area, (PixelBox{12, 0, 52, 16}));
  const Image repainted = golden_source({32, 32}, 3);
  const Image result = paste_back(repainted, source, /*keep=*/false);
  const Image scaled = resize_lanczos(repainted, {40, 40});
  for (int64_t y = 0; y < 16; ++y)
    for (int64_t x = 0; x < 40; ++x)
      EXPECT_EQ(result.pixels[static_cast<size_t>(3 * (64 * y + x + 12))],
                scaled.pixels[static_cast<size_t>(3 * (40 * (y + 12) + x))])
          << x << ", " << y;
}

}  // namespace
}  // namespace sdrbee
