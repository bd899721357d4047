#include "sdrbee/generation/source_image.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace sdrbee {
namespace {

TEST(SourceImage, SurvivesTheWayThereAndBack) {
  Image image{{2, 1}, 3, {0, 1, 127, 128, 254, 255}};
  EXPECT_EQ(float_to_image(picture_to_float(picture_to_tensor(image, image.size))), image);
}

TEST(SourceImage, RoundsHalfToEven) {
  // 0.5, 1.5 and 2.5 grey levels.
  const Tensor values = at::tensor({0.5 / 255, 1.5 / 255, 2.5 / 255}).reshape({1, 1, 3});
  EXPECT_EQ(float_to_image(values).pixels, (std::vector<uint8_t>{0, 2, 2}));
}

TEST(SourceImage, CutsAMaskOfBlackAndWhiteAtHalfAfterTheResize) {
  // Lanczos puts grey levels between black and white.
  const Tensor mask = mask_to_tensor({{4, 1}, 1, {0, 0, 255, 255}}, {9, 1});
  EXPECT_TRUE(at::equal(mask, mask.round()));
  EXPECT_EQ(mask.const_data_ptr<float>()[0], 0.0F);
  EXPECT_EQ(mask.const_data_ptr<float>()[8], 1.0F);
}

TEST(SourceImage, KeepsTheLevelsOfAGreyMask) {
  const Tensor mask = mask_to_tensor({{3, 1}, 1, {0, 51, 255}}, {3, 1});
  EXPECT_EQ(mask.const_data_ptr<float>()[0], 0.0F);
  EXPECT_FLOAT_EQ(mask.const_data_ptr<float>()[1], 0.2F);
  EXPECT_EQ(mask.const_data_ptr<float>()[2], 1.0F);
}

TEST(KeepUnmasked, LeavesBlackPartsOfTheSourceAsTheyWere) {
  const Image generated{{2, 1}, 3, {1, 2, 3, 4, 5, 6}};
  const Image source{{2, 1}, 4, {10, 20, 30, 99, 40, 50, 60, 99}};
  const Image mask{{2, 1}, 1, {0, 255}};
  EXPECT_EQ(keep_unmasked(generated, source, mask).pixels,
            (std::vector<uint8_t>{10, 20, 30, 4, 5, 6}));
}

TEST(KeepUnmasked, BlendsByTheMask) {
  const Image generated{{3, 1}, 1 * 3, {200, 200, 200, 200, 200, 200, 200, 200, 200}};
  const Image source{{3, 1}, 1, {100, 100, 100}};
  const Image mask{{3, 1}, 1, {0, 51, 255}};
  EXPECT_EQ(keep_unmasked(generated, source, mask).pixels,
            (std::vector<uint8_t>{100, 100, 100, 120, 120, 120, 200, 200, 200}));
}

TEST(KeepUnmasked, ComesBackAtTheSourcesOwnSize) {
  const Image generated{{8, 8}, 3, std::vector<uint8_t>(8 * 8 * 3, 50)};
  const Image source{{9, 10}, 3, std::vector<uint8_t>(9 * 10 * 3, 77)};
  const Image mask{{9, 10}, 1, std::vector<uint8_t>(9 * 10, 0)};
  EXPECT_EQ(keep_unmasked(generated, source, mask), source);
}

}  // namespace
}  // namespace sdrbee
