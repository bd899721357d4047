// The parts of an encoder or decoder between two changes of resolution.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "sdrbee/nn/norm.h"
#include "sdrbee/nn/resnet_block.h"

namespace sdrbee::vae {

/// Residual blocks of one resolution with what stands before and behind them; refers to layers
/// that somebody else owns.
struct Stage {
  using Layer = std::function<Tensor(const Tensor&)>;

  Layer before = {};  ///< may be empty, and so may `after`
  std::span<const nn::ResnetBlock> resnets;
  const nn::GroupNorm* norm = nullptr;  ///< with SiLU, behind the blocks
  Layer after = {};
  /// Values per cell and side of input and output, where a cell is a pixel of the lower resolution.
  int64_t input = 1;
  int64_t output = 1;

  /// How many group norms there are in the blocks and behind them.
  size_t norm_count() const { return 2 * resnets.size() + (norm == nullptr ? 0 : 1); }

  /// The stage on [B, C, H, W]. By value: a stage drops its input as soon as it can.
  Tensor run(Tensor x) const;

  /// The stage on a part of a picture, with the moments over the whole picture of what its first
  /// norms see. Where some are missing yet the result is what the first of those sees.
  Tensor run_part(const Tensor& x, std::span<const nn::GroupMoments> moments) const;

  /// run() with all but input and output kept for one tile at a time: at most `tile` cells on a
  /// side. Group norms see the whole picture: their moments are gathered one after the other, each
  /// in a pass over the tiles up to that norm. So the result is that of run() up to rounding, for
  /// about three times the work. A stage that changes no resolution isn't cut, nor is a small one.
  Tensor run_in_tiles(Tensor x, int64_t tile) const;
};

/// Runs stages behind each other, in tiles where `tile` is given.
Tensor run_stages(std::span<const Stage> stages, Tensor x, const std::optional<int64_t>& tile);

}  // namespace sdrbee::vae
