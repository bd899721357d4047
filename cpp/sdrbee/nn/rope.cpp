#include "sdrbee/nn/rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>

#include "sdrbee/core/check.h"

namespace sdrbee::nn {

Tensor rotations(const Tensor& positions, const std::vector<int64_t>& widths, double theta) {
  SDRBEE_CHECK_SHAPE(positions, {-1, std::ssize(widths)});
  const Tensor values = positions.to(at::kDouble);
  std::vector<Tensor> angles;
  for (int64_t axis = 0; axis < std::ssize(widths); ++axis) {
    const int64_t width = widths[static_cast<size_t>(axis)];
    SDRBEE_CHECK(width % 2 == 0, width);
    const Tensor exponents =
        at::arange(0, width, 2, values.options()).div(-static_cast<double>(width));
    // [N, 1] * [width / 2] -> [N, width / 2]
    angles.push_back(values.narrow(1, axis, 1).mul(at::pow(theta, exponents)));
  }
  const Tensor all = at::cat(angles, 1);
  return at::polar(at::ones_like(all), all).to(at::kComplexFloat);
}

Tensor rotate(const Tensor& x, const Tensor& rotations) {
  SDRBEE_CHECK_SHAPE(x, {-1, rotations.size(0), -1, 2 * rotations.size(1)});
  // [B, N, heads, d] -> [B, N, heads, d / 2] complex, times [N, 1, d / 2]
  const Tensor pairs =
      at::view_as_complex(x.to(at::kFloat).reshape({x.size(0), x.size(1), x.size(2), -1, 2}));
  return at::view_as_real(pairs.mul(rotations.unsqueeze(1))).flatten(3).to(x.scalar_type());
}

Tensor rotate_halves(const Tensor& x, const Tensor& rotations) {
  SDRBEE_CHECK_SHAPE(x, {-1, rotations.size(0), -1, 2 * rotations.size(1)});
  const Tensor values = x.to(at::kFloat);
  const int64_t half = rotations.size(1);
  // [B, N, heads, d] -> [B, N, heads, d / 2] complex, times [N, 1, d / 2]
  const Tensor turned = at::complex(values.narrow(3, 0, half), values.narrow(3, half, half))
                            .mul(rotations.unsqueeze(1));
  const Tensor parts = at::view_as_real(turned);  // [B, N, heads, d / 2, 2]
  return at::cat({parts.select(4, 0), parts.select(4, 1)}, 3).to(x.scalar_type());
}

}  // namespace sdrbee::nn
