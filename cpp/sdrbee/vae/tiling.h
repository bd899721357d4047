// Working on a large grid tile by tile, so that memory doesn't grow with the grid.
#pragma once

#include <functional>
#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee::vae {

/// How a grid is cut, in cells.
struct Tiling {
  int64_t tile = 32;  ///< the most cells on a side of a tile, halo included
  int64_t halo = 0;   ///< cells around its own that a tile sees too; less than half of a tile
};

/// One tile along one axis: its own cells and what it sees of its neighbours'.
struct TileSpan {
  int64_t start = 0;
  int64_t length = 0;
  int64_t before = 0;  ///< halo cells before `start`
  int64_t after = 0;   ///< halo cells behind the last
  bool operator==(const TileSpan&) const = default;

  int64_t seen() const { return before + length + after; }
};

/// Tiles whose own cells cover `length` cells once, evenly; one tile when `length` fits into it.
/// The halo ends where the grid ends.
std::vector<TileSpan> plan_tiles(int64_t length, const Tiling& tiling);

/// One tile of a grid.
struct Tile {
  TileSpan rows;
  TileSpan columns;

  /// What the tile sees of `grid` [B, C, cells * n, cells * n], a view.
  Tensor seen(const Tensor& grid, int64_t n) const;

  /// Of something computed from seen(), of any whole number of values per cell, the part that
  /// belongs to the tile's own cells; a view.
  Tensor own(const Tensor& computed) const;
};

/// Every tile of a grid of `height` x `width` cells, row by row.
void for_each_tile(int64_t height, int64_t width, const Tiling& tiling,
                   const std::function<void(const Tile&)>& visit);

/// The own parts of what `compute` makes of each tile's view of `x`, put together. `x` has
/// `input` and the result `output` values per cell and side.
Tensor compute_in_tiles(const Tensor& x, int64_t input, int64_t output, const Tiling& tiling,
                        const std::function<Tensor(const Tensor&)>& compute);

}  // namespace sdrbee::vae
