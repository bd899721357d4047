#include "sdrbee/core/cast.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

namespace sdrbee {
namespace {

/// All 65,536 fp16 values: zeros, subnormals, infinities and every NaN among them.
Tensor all_halves() {
  return at::arange(-32768, 32768, at::TensorOptions().dtype(at::kShort)).view(Dtype::Half);
}

TEST(Cast, GivesTheBitsOfTorchForEveryHalf) {
  const Tensor halves = all_halves().repeat({3});
  EXPECT_TRUE(at::equal(cast(halves, Dtype::BFloat16).view(at::kShort),
                        halves.to(Dtype::BFloat16).view(at::kShort)));
}

TEST(Cast, TakesAnyLengthAndStride) {
  const Tensor halves = all_halves().slice(0, 1000, 1035);
  for (const Tensor& part : {halves, halves.slice(0, 0, 35, 2), halves.slice(0, 3, 3)})
    EXPECT_TRUE(at::equal(cast(part, Dtype::BFloat16).view(at::kShort),
                          part.to(Dtype::BFloat16).view(at::kShort)));
}

TEST(Cast, OtherDtypesGoThroughTorch) {
  const Tensor values = at::arange(5, at::TensorOptions().dtype(at::kFloat));
  EXPECT_TRUE(at::equal(cast(values, Dtype::Half), values.to(Dtype::Half)));
  EXPECT_TRUE(cast(values, Dtype::Float).is_same(values));
}

}  // namespace
}  // namespace sdrbee
