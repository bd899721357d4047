// FLUX's network (FluxTransformer2DModel): a transformer over the tokens of text and picture.
#pragma once

#include <vector>

#include "sdrbee/models/flux/trunk.h"

namespace sdrbee::flux {

/// Added to the picture's first tokens behind the first blocks of either kind, [B, n, width] each.
struct BlockResiduals {
  std::vector<Tensor> blocks = {};
  std::vector<Tensor> single_blocks = {};
};

/// The trunk, and what makes a velocity of its tokens.
class Transformer {
 public:
  /// Throws CheckpointError for missing weights or weights of another shape.
  Transformer(const io::WeightScope& scope, const TransformerConfig& config);

  /// The velocity [B, N, out_channels] in the network's dtype.
  Tensor operator()(const TransformerInputs& inputs, const BlockResiduals& residuals = {}) const;

  const TransformerConfig& config() const { return trunk_.config(); }

 private:
  Trunk trunk_;
  nn::Modulation norm_out_;
  nn::Linear proj_out_;
};

}  // namespace sdrbee::flux
