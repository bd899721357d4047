#include "sdrbee/vae/tiling.h"

#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "support/memory_weights.h"

namespace sdrbee::vae {
namespace {

TEST(PlanTiles, CoversEveryCellWithEnoughOverlap) {
  const Tiling tiling{.tile = 16, .overlap = 0.25};
  for (int64_t length = 1; length < 100; ++length) {
    const auto tiles = plan_tiles(length, tiling);
    EXPECT_EQ(tiles.front().start, 0);
    EXPECT_EQ(tiles.back().start + tiles.back().length, length);
    for (size_t i = 0; i + 1 < tiles.size(); ++i) {
      EXPECT_EQ(tiles[i].length, 16);
      EXPECT_GE(tiles[i].start + tiles[i].length - tiles[i + 1].start, 4) << length;
      EXPECT_GT(tiles[i + 1].start, tiles[i].start) << length;
    }
  }
}

TEST(PlanTiles, UsesAsFewTilesAsPossible) {
  const Tiling tiling{.tile = 64, .overlap = 0.25};
  EXPECT_EQ(plan_tiles(64, tiling).size(), 1U);
  EXPECT_EQ(plan_tiles(65, tiling).size(), 2U);
  EXPECT_EQ(plan_tiles(112, tiling).size(), 2U);
  EXPECT_EQ(plan_tiles(113, tiling).size(), 3U);
}

// What depends on single pixels only must come out as if there were no tiles.
TEST(ComputeInTiles, JoinsResultsInTheirPlaces) {
  const Tensor x = test::random_tensor({2, 3, 37, 22}, 1);
  const auto twice = [](const Tensor& part) {
    return at::upsample_nearest2d(part, {part.size(2) * 2, part.size(3) * 2});
  };
  const Tensor tiled =
      compute_in_tiles(x, {.tile = 8, .overlap = 0.25}, {.input = 1, .output = 2}, twice);
  EXPECT_LT(test::largest_difference(tiled, twice(x)), 1e-6);
}

TEST(ComputeInTiles, MixesNeighboursWithoutAStep) {
  // Every tile answers with its own constant: the steepest step between two pixels of the joined
  // result then is that of the mixing weights.
  const Tensor x = test::random_tensor({1, 1, 24, 24}, 1);
  double next = 0.0;
  const Tensor joined =
      compute_in_tiles(x, {.tile = 16, .overlap = 0.5}, {}, [&](const Tensor& part) {
        next += 1.0;
        return at::zeros_like(part).add(next);
      });
  const Tensor steps = joined.narrow(3, 1, 23).sub(joined.narrow(3, 0, 23)).abs();
  EXPECT_GT(joined.max().item<double>() - joined.min().item<double>(), 2.5);
  EXPECT_LT(steps.max().item<double>(), 1.0 / 8 + 1e-6);
}

}  // namespace
}  // namespace sdrbee::vae
