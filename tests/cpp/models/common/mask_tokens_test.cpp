#include "sdrbee/models/common/mask_tokens.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace sdrbee {
namespace {

constexpr double kFp32 = 1e-4;  // the numbers below have four digits

/// masks = (torch.arange(2 * 4 * 6).reshape(2, 4, 6) * 7 % 5 < 2).float()
Tensor masks() {
  return at::arange(48).reshape({2, 4, 6}).mul(7).remainder(5).lt(2).to(at::kFloat);
}

// IPAdapterMaskProcessor.downsample(masks, 2, tokens, 1)[..., 0] of diffusers 0.42.1
TEST(MaskTokens, AreResizedToTheTokensAsInDiffusers) {
  const Tensor made = mask_tokens(masks(), 13);
  ASSERT_EQ(made.sizes(), (std::vector<int64_t>{2, 13, 1}));
  const Tensor expected = at::tensor(
      {0.6522F, 0.0182F, 0.7325F, 0.6750F, -0.0072F, 0.5487F, 0.5487F,  -0.0072F, 0.6750F,
       0.7325F, 0.0182F, 0.6522F, 0.0F,    0.3492F,  0.1863F, 0.3572F,  0.3384F,  0.3893F,
       0.3992F, 0.4868F, 0.5725F, 0.2051F, 0.2777F,  0.7633F, -0.0008F, 0.0F});
  EXPECT_TRUE(made.flatten().allclose(expected, 0, kFp32)) << made.flatten();
}

TEST(MaskTokens, OfAsManyTokensAsPixelsAreTheMask) {
  EXPECT_TRUE(mask_tokens(masks(), 24).flatten().allclose(masks().flatten(), 0, kFp32));
}

TEST(MaskTokens, OfAVeryWideMaskAreDefined) {
  EXPECT_EQ(mask_tokens(masks().reshape({1, 1, 48}), 4).sizes(), (std::vector<int64_t>{1, 4, 1}));
}

}  // namespace
}  // namespace sdrbee
