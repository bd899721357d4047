// Convolutions that see a picture as going on at its opposite edge.
#pragma once

#include "sdrbee/core/tensor.h"

namespace sdrbee::nn {

/// While one lives, the convolutions of its thread pad with the picture's opposite edge instead of
/// zeros, along the axes it names: for pictures that tile without a seam. Like c10::InferenceMode
/// it is a property of the work in hand, not of the layers.
class CircularPadding {
 public:
  CircularPadding(bool horizontal, bool vertical);
  ~CircularPadding();
  CircularPadding(const CircularPadding&) = delete;
  CircularPadding& operator=(const CircularPadding&) = delete;

  /// Whether padding is circular along one of the axes now.
  static bool acts();

  /// `x` [B, C, H, W] with that many rows and columns of the opposite edge on the circular axes;
  /// the other axes stay as they are.
  struct Amounts {
    int64_t left = 0, right = 0, top = 0, bottom = 0;
  };
  static Tensor pad(const Tensor& x, const Amounts& amounts);

  /// `x` without that many rows and columns on the circular axes.
  static Tensor crop(const Tensor& x, const Amounts& amounts);

 private:
  bool horizontal_before_;
  bool vertical_before_;
};

}  // namespace sdrbee::nn
