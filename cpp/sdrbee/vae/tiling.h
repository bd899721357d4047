// Working on a large grid in overlapping tiles, so that memory doesn't grow with the grid.
#pragma once

#include <functional>

#include "sdrbee/core/size.h"
#include "sdrbee/core/tensor.h"

namespace sdrbee::vae {

/// How a grid is cut, in latent cells.
struct Tiling {
  int64_t tile = 64;      ///< cells on a side of a tile; at least 2
  double overlap = 0.25;  ///< the least part of a tile that its neighbour covers too: 0 to 0.5
};

/// One tile along one axis.
struct TileSpan {
  int64_t start = 0;
  int64_t length = 0;
  bool operator==(const TileSpan&) const = default;
};

/// Tiles that cover `length` cells: equally long, evenly spread, each overlapping the next by at
/// least `tiling.overlap`. One tile when `length` fits into it.
///
/// diffusers lets the last tile be as narrow as it comes out, which gives its normalisation layers
/// little to measure; even spreading has no such tile.
std::vector<TileSpan> plan_tiles(int64_t length, const Tiling& tiling);

/// Sizes of the input and output of a tile: `input` and `output` units per latent cell.
struct TileScale {
  int64_t input = 1;
  int64_t output = 1;
};

/// Runs `compute` on tiles of `x` [B, C, H, W] and joins the results. Where tiles overlap their
/// results are mixed with weights that fall linearly towards the edge of a tile.
Tensor compute_in_tiles(const Tensor& x, const Tiling& tiling, const TileScale& scale,
                        const std::function<Tensor(const Tensor&)>& compute);

}  // namespace sdrbee::vae
