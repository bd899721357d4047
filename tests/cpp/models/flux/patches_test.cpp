#include "sdrbee/models/flux/patches.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace sdrbee::flux {
namespace {

// FluxPipeline._pack_latents(torch.arange(16).view(1, 2, 2, 4), 1, 2, 2, 4)
TEST(FluxPatches, PacksAsDiffusersDoes) {
  const Tensor latents = at::arange(16).view({1, 2, 2, 4});
  const Tensor expected =
      at::tensor({0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15}).view({1, 2, 8});
  EXPECT_TRUE(at::equal(pack_latents(latents), expected.to(latents.scalar_type())));
}

TEST(FluxPatches, UnpackingIsTheInverse) {
  const Tensor latents = at::arange(2 * 3 * 4 * 6).view({2, 3, 4, 6});
  EXPECT_TRUE(at::equal(unpack_latents(pack_latents(latents), 4, 6), latents));
}

TEST(FluxPatches, PositionsCountRowsAndColumns) {
  const Tensor positions = token_positions(4, 6, 1);
  EXPECT_EQ(positions.sizes(), (std::vector<int64_t>{6, 3}));
  EXPECT_TRUE(at::equal(positions[4], at::tensor({1.0, 1.0, 1.0}, at::kDouble)));
  EXPECT_TRUE(at::equal(positions[5], at::tensor({1.0, 1.0, 2.0}, at::kDouble)));
}

}  // namespace
}  // namespace sdrbee::flux
