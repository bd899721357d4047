#include "sdrbee/nn/circular_padding.h"

#include <ATen/ops/arange.h>

namespace sdrbee::nn {
namespace {

struct Axes {
  bool horizontal = false;
  bool vertical = false;
};

// The innermost CircularPadding of this thread.
thread_local Axes axes;

/// `x` with the last `before` slices of a dimension in front and the first `after` ones behind.
Tensor wrapped(const Tensor& x, int64_t dimension, int64_t before, int64_t after) {
  const int64_t length = x.size(dimension);
  const Tensor places = at::arange(-before, length + after, at::TensorOptions(at::kLong));
  return x.index_select(dimension, places.remainder(length).to(x.device()));
}

}  // namespace

CircularPadding::CircularPadding(bool horizontal, bool vertical)
    : horizontal_before_(axes.horizontal), vertical_before_(axes.vertical) {
  axes = {horizontal, vertical};
}

CircularPadding::~CircularPadding() { axes = {horizontal_before_, vertical_before_}; }

bool CircularPadding::acts() { return axes.horizontal || axes.vertical; }

Tensor CircularPadding::pad(const Tensor& x, const Amounts& amounts) {
  const Tensor tall = axes.vertical ? wrapped(x, 2, amounts.top, amounts.bottom) : x;
  return axes.horizontal ? wrapped(tall, 3, amounts.left, amounts.right) : tall;
}

Tensor CircularPadding::crop(const Tensor& x, const Amounts& amounts) {
  Tensor y = x;
  if (axes.vertical) y = y.narrow(2, amounts.top, y.size(2) - amounts.top - amounts.bottom);
  if (axes.horizontal) y = y.narrow(3, amounts.left, y.size(3) - amounts.left - amounts.right);
  return y;
}

}  // namespace sdrbee::nn
