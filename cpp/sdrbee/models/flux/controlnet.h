// ControlNets beside FLUX's network (FluxControlNetModel).
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/control/image_embedding.h"
#include "sdrbee/models/flux/controlnet_config.h"
#include "sdrbee/models/flux/trunk.h"

namespace sdrbee::flux {

/// What a ControlNet is shown.
struct ShownPicture {
  /// The picture's latents [B, C, h, w], or the picture [B, 3, H, W] in -1..1 for networks that
  /// have convolutions of their own.
  Tensor image;
  int64_t mode = 0;  ///< of a union ControlNet
};

/// A smaller trunk with a layer behind each of its blocks (Zhang et al. 2023, arXiv:2302.05543).
class ControlNet {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  ControlNet(const io::WeightScope& scope, const ControlNetConfig& config);

  /// One tensor [B, N, width] for each of its blocks of either kind.
  struct Residuals {
    std::vector<Tensor> blocks;
    std::vector<Tensor> single_blocks;
  };
  Residuals operator()(const TransformerInputs& inputs, const ShownPicture& shown) const;

 private:
  Trunk trunk_;
  nn::Linear controlnet_x_embedder_;
  std::optional<control::ImageEmbedding> input_hint_block_;
  Tensor controlnet_mode_embedder_;  // [modes, width], or undefined
  std::vector<nn::Linear> controlnet_blocks_;
  std::vector<nn::Linear> controlnet_single_blocks_;
};

}  // namespace sdrbee::flux
