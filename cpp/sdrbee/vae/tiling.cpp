#include "sdrbee/vae/tiling.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "sdrbee/core/check.h"

namespace sdrbee::vae {
namespace {

/// Where a tile and its neighbours along one axis overlap, in units of the output.
struct Overlaps {
  int64_t before = 0;
  int64_t after = 0;
};

Overlaps overlaps_of(const std::vector<TileSpan>& tiles, size_t index, int64_t scale) {
  Overlaps result;
  const TileSpan& tile = tiles[index];
  if (index > 0)
    result.before = (tiles[index - 1].start + tiles[index - 1].length - tile.start) * scale;
  if (index + 1 < tiles.size())
    result.after = (tile.start + tile.length - tiles[index + 1].start) * scale;
  return result;
}

/// Weights along one axis: they rise over the overlap before and fall over that after. Never zero,
/// so that the sum over all tiles isn't either.
Tensor axis_weights(int64_t length, const Overlaps& overlaps, const at::TensorOptions& options) {
  const Tensor position = at::arange(length, options).add(0.5);
  Tensor weights = at::ones({length}, options);
  if (overlaps.before > 0)
    weights = at::minimum(weights, position.div(static_cast<double>(overlaps.before)));
  if (overlaps.after > 0)
    weights = at::minimum(weights, position.flip(0).div(static_cast<double>(overlaps.after)));
  return weights;
}

}  // namespace

std::vector<TileSpan> plan_tiles(int64_t length, const Tiling& tiling) {
  SDRBEE_CHECK(length > 0 && tiling.tile >= 2);
  SDRBEE_CHECK(tiling.overlap >= 0.0 && tiling.overlap <= 0.5);
  if (length <= tiling.tile) return {{.start = 0, .length = length}};
  const auto shared =
      static_cast<int64_t>(std::ceil(tiling.overlap * static_cast<double>(tiling.tile)));
  const int64_t advance = tiling.tile - shared;
  const int64_t gaps = (length - tiling.tile + advance - 1) / advance;
  std::vector<TileSpan> tiles;
  for (int64_t i = 0; i <= gaps; ++i)
    tiles.push_back({.start = (length - tiling.tile) * i / gaps, .length = tiling.tile});
  return tiles;
}

Tensor compute_in_tiles(const Tensor& x, const Tiling& tiling, const TileScale& scale,
                        const std::function<Tensor(const Tensor&)>& compute) {
  SDRBEE_CHECK_SHAPE(x, {-1, -1, -1, -1});
  const int64_t height = x.size(2) / scale.input;
  const int64_t width = x.size(3) / scale.input;
  const auto rows = plan_tiles(height, tiling);
  const auto columns = plan_tiles(width, tiling);
  if (rows.size() == 1 && columns.size() == 1) return compute(x);

  const auto fp32 = x.options().dtype(at::kFloat);
  const Tensor total = at::zeros({height * scale.output, width * scale.output}, fp32);
  Tensor sum;  // made when the first result tells the channels
  Dtype dtype = x.scalar_type();
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < columns.size(); ++j) {
      const Tensor tile =
          x.narrow(2, rows[i].start * scale.input, rows[i].length * scale.input)
              .narrow(3, columns[j].start * scale.input, columns[j].length * scale.input);
      const Tensor result = compute(tile);
      dtype = result.scalar_type();
      if (!sum.defined())
        sum = at::zeros({x.size(0), result.size(1), total.size(0), total.size(1)}, fp32);
      const Tensor down =
          axis_weights(result.size(2), overlaps_of(rows, i, scale.output), fp32).unsqueeze(1);
      const Tensor across =
          axis_weights(result.size(3), overlaps_of(columns, j, scale.output), fp32);
      const Tensor weights = down.mul(across);  // [h, 1] * [w] -> [h, w]
      const auto part_of = [&](const Tensor& whole) {
        return whole.narrow(-2, rows[i].start * scale.output, result.size(2))
            .narrow(-1, columns[j].start * scale.output, result.size(3));
      };
      part_of(sum).add_(result.to(at::kFloat).mul(weights));
      part_of(total).add_(weights);
    }
  }
  return sum.div_(total).to(dtype);
}

}  // namespace sdrbee::vae
