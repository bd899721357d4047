// Latents as the tokens of Stable Diffusion 3's networks.
#pragma once

#include <optional>

#include "sdrbee/nn/conv2d.h"
#include "sdrbee/nn/stored_table.h"

namespace sdrbee::sd3 {

/// A token for each patch of latents, with its place in the picture added to it.
class PatchEmbedding {
 public:
  struct Shape {
    int64_t channels = 16;  ///< of the latents
    int64_t width = 1536;   ///< of the tokens
    int64_t patch_size = 2;
    int64_t max_side = 0;  ///< tokens on a side of the largest picture; 0: places are not added
  };

  /// Takes `proj` and, with places, `pos_embed`. Throws CheckpointError.
  PatchEmbedding(const io::WeightScope& scope, const Shape& shape);

  /// [B, C, h, w] -> [B, h/p * w/p, width]; at most `max_side` tokens on a side. Places are those
  /// of a picture in the middle of the largest one.
  Tensor operator()(const Tensor& latents) const;

 private:
  Shape shape_;
  nn::Conv2d proj_;
  std::optional<nn::StoredTable> pos_embed_;  // [1, max * max, width]
};

}  // namespace sdrbee::sd3
