// The first layers of ControlNets that see pictures (Zhang et al. 2023, arXiv:2302.05543, 3.4).
#pragma once

#include <vector>

#include "sdrbee/nn/conv2d.h"

namespace sdrbee::control {

/// The convolutions that bring a control image to the size and width of the latents' features.
class ImageEmbedding {
 public:
  struct Shape {
    int64_t in = 3;               ///< channels of the image
    std::vector<int64_t> widths;  ///< of its features; the picture is halved between them
    int64_t out = 0;              ///< channels of the result
  };

  /// Takes `conv_in`, `blocks` and `conv_out`. Throws CheckpointError.
  ImageEmbedding(const io::WeightScope& scope, const Shape& shape);

  /// [B, in, H, W] -> [B, out, h, w].
  Tensor operator()(const Tensor& image) const;

 private:
  nn::Conv2d conv_in_;
  std::vector<nn::Conv2d> blocks_;
  nn::Conv2d conv_out_;
};

}  // namespace sdrbee::control
