// What a diffusion transformer's blocks are modulated by.
#pragma once

#include <optional>

#include "sdrbee/nn/timestep.h"

namespace sdrbee {

/// The sum of the embeddings of timestep, pooled text and, for guidance-distilled networks, the
/// guidance scale.
class TimeTextEmbedding {
 public:
  struct Shape {
    int64_t width = 0;   ///< of the result
    int64_t pooled = 0;  ///< channels of the pooled text
    bool guidance = false;
  };

  /// Takes `timestep_embedder`, `text_embedder` and, with `shape.guidance`, `guidance_embedder`.
  /// Throws CheckpointError.
  TimeTextEmbedding(const io::WeightScope& scope, const Shape& shape);

  /// `timesteps` [B] in 0..1000, `pooled` [B, pooled] of the network's dtype and device, and, where
  /// the layer was built for it, 1000 times the guidance scale [B] -> [B, width].
  Tensor operator()(const Tensor& timesteps, const Tensor& pooled,
                    const Tensor& guidance = {}) const;

 private:
  nn::TimestepEmbedding timestep_embedder_;
  nn::TimestepEmbedding text_embedder_;
  std::optional<nn::TimestepEmbedding> guidance_embedder_;
};

}  // namespace sdrbee
