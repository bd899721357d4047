#include "sdrbee/vae/tiling.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "sdrbee/core/check.h"

namespace sdrbee::vae {
namespace {

/// `length` cells from `start` on of dimensions 2 or 3, where a cell has `n` values.
Tensor cells(const Tensor& grid, int64_t dimension, int64_t start, int64_t length, int64_t n) {
  return grid.narrow(dimension, start * n, length * n);
}

}  // namespace

std::vector<TileSpan> plan_tiles(int64_t length, const Tiling& tiling) {
  SDRBEE_CHECK(length > 0 && tiling.halo >= 0 && tiling.tile > 2 * tiling.halo);
  if (length <= tiling.tile) return {{.length = length}};
  const int64_t most = tiling.tile - 2 * tiling.halo;
  const int64_t count = (length + most - 1) / most;
  std::vector<TileSpan> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t start = length * i / count;
    const int64_t end = length * (i + 1) / count;
    tiles.push_back({.start = start,
                     .length = end - start,
                     .before = std::min(tiling.halo, start),
                     .after = std::min(tiling.halo, length - end)});
  }
  return tiles;
}

Tensor Tile::seen(const Tensor& grid, int64_t n) const {
  const Tensor band = cells(grid, 2, rows.start - rows.before, rows.seen(), n);
  return cells(band, 3, columns.start - columns.before, columns.seen(), n);
}

Tensor Tile::own(const Tensor& computed) const {
  const int64_t n = computed.size(2) / rows.seen();
  SDRBEE_CHECK_SHAPE(computed, {-1, -1, n * rows.seen(), n * columns.seen()});
  return cells(cells(computed, 2, rows.before, rows.length, n), 3, columns.before, columns.length,
               n);
}

void for_each_tile(int64_t height, int64_t width, const Tiling& tiling,
                   const std::function<void(const Tile&)>& visit) {
  const auto all_columns = plan_tiles(width, tiling);
  for (const TileSpan& rows : plan_tiles(height, tiling))
    for (const TileSpan& columns : all_columns) visit({.rows = rows, .columns = columns});
}

Tensor compute_in_tiles(const Tensor& x, int64_t input, int64_t output, const Tiling& tiling,
                        const std::function<Tensor(const Tensor&)>& compute) {
  SDRBEE_CHECK_SHAPE(x, {-1, -1, -1, -1});
  const int64_t height = x.size(2) / input, width = x.size(3) / input;
  Tensor result;  // made when the first tile tells channels and dtype
  for_each_tile(height, width, tiling, [&](const Tile& tile) {
    const Tensor computed = compute(tile.seen(x, input));
    if (!result.defined())
      result = at::empty({x.size(0), computed.size(1), height * output, width * output},
                         computed.options(), at::MemoryFormat::ChannelsLast);
    const auto [rows, columns] = tile;
    cells(cells(result, 2, rows.start, rows.length, output), 3, columns.start, columns.length,
          output)
        .copy_(tile.own(computed));
  });
  return result;
}

}  // namespace sdrbee::vae
