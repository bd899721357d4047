#include "sdrbee/vae/tiling.h"

#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/memory_weights.h"

namespace sdrbee::vae {
namespace {

TEST(PlanTiles, CoversEveryCellOnce) {
  const Tiling tiling{.tile = 16, .halo = 3};
  for (int64_t length = 1; length < 100; ++length) {
    int64_t covered = 0;
    for (const TileSpan& tile : plan_tiles(length, tiling)) {
      EXPECT_EQ(tile.start, covered);
      EXPECT_GT(tile.length, 0);
      EXPECT_LE(tile.seen(), 16);
      EXPECT_EQ(tile.before, std::min<int64_t>(3, tile.start)) << length;
      covered += tile.length;
      EXPECT_EQ(tile.after, std::min<int64_t>(length > 16 ? 3 : 0, length - covered)) << length;
    }
    EXPECT_EQ(covered, length);
  }
}

TEST(PlanTiles, UsesAsFewTilesAsPossible) {
  const Tiling tiling{.tile = 16, .halo = 3};
  EXPECT_EQ(plan_tiles(16, tiling).size(), 1U);
  EXPECT_EQ(plan_tiles(17, tiling).size(), 2U);
  EXPECT_EQ(plan_tiles(20, tiling).size(), 2U);
  EXPECT_EQ(plan_tiles(21, tiling).size(), 3U);
}

TEST(ComputeInTiles, JoinsResultsInTheirPlaces) {
  const Tensor x = test::random_tensor({2, 3, 37, 22}, 1);
  const auto twice = [](const Tensor& part) {
    return at::upsample_nearest2d(part, {part.size(2) * 2, part.size(3) * 2});
  };
  const Tensor tiled = compute_in_tiles(x, 1, 2, {.tile = 8, .halo = 2}, twice);
  EXPECT_EQ(test::largest_difference(tiled, twice(x)), 0.0);
}

TEST(ComputeInTiles, DropsWhatWasComputedInTheHalo) {
  const Tensor x = at::zeros({1, 1, 40, 40});
  const auto spoiled = [](const Tensor& part) {
    Tensor result = part.clone();
    if (part.size(2) < 40) result.narrow(2, 0, 1).add_(1.0);  // the first row of a tile
    return result;
  };
  const Tensor tiled = compute_in_tiles(x, 1, 1, {.tile = 16, .halo = 1}, spoiled);
  EXPECT_EQ(tiled.narrow(2, 1, 39).abs().max().item<double>(), 0.0);
}

}  // namespace
}  // namespace sdrbee::vae
