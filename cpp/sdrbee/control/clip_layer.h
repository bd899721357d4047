// The transformer layer of CLIP's picture encoder (Radford et al. 2021, arXiv:2103.00020).
#pragma once

#include "sdrbee/io/weight_scope.h"
#include "sdrbee/nn/activation.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/norm.h"

namespace sdrbee::control {

/// The sizes of a layer.
struct ClipLayerShape {
  int64_t width = 0;
  int64_t inner = 0;  ///< width inside the feed-forward part
  int64_t heads = 1;
  nn::Activation activation = nn::Activation::QuickGelu;
  double norm_eps = 1e-5;
};

/// x + attention, + feed-forward, both normalised before; in the names of OpenAI's CLIP.
class ClipLayer {
 public:
  /// Takes `attn` with its in_proj split into to_q, to_k and to_v, `ln_1`, `ln_2` and `mlp`.
  ClipLayer(const io::WeightScope& scope, const ClipLayerShape& shape);

  /// [B, N, width] -> the same.
  Tensor operator()(const Tensor& tokens) const;

 private:
  int64_t heads_;
  nn::Activation activation_;
  nn::LayerNorm ln_1_;
  nn::Linear to_q_;
  nn::Linear to_k_;
  nn::Linear to_v_;
  nn::Linear out_proj_;
  nn::LayerNorm ln_2_;
  nn::Linear c_fc_;
  nn::Linear c_proj_;
};

}  // namespace sdrbee::control
