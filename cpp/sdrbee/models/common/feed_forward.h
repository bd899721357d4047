// The feed-forward part of a diffusion transformer's block.
#pragma once

#include "sdrbee/nn/linear.h"

namespace sdrbee {

/// Two linear layers with GELU (tanh form) between them, four times as wide inside:
/// [B, N, width] -> [B, N, width].
class FeedForward {
 public:
  /// Takes `net.0.proj` and `net.2`. Throws CheckpointError.
  FeedForward(const io::WeightScope& scope, int64_t width);

  Tensor operator()(const Tensor& x) const;

 private:
  nn::Linear proj_;
  nn::Linear out_;
};

}  // namespace sdrbee
