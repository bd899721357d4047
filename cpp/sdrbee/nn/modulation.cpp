#include "sdrbee/nn/modulation.h"

#include <ATen/ops/layer_norm.h>

#include "sdrbee/core/check.h"

namespace sdrbee::nn {
namespace {

constexpr double kEps = 1e-6;

}  // namespace

Modulation::Modulation(const io::WeightScope& scope, int64_t width, int64_t parts)
    : linear_(scope / "linear", width, parts * width), parts_(parts) {}

std::vector<Tensor> Modulation::operator()(const Tensor& activated) const {
  SDRBEE_CHECK_SHAPE(activated, {-1, -1});
  // [B, parts * C] -> [B, 1, parts * C] -> parts of [B, 1, C]
  return linear_(activated).unsqueeze(1).chunk(parts_, 2);
}

Tensor modulated_norm(const Tensor& x, const ScaleAndShift& modulation) {
  return at::layer_norm(x, {x.size(-1)}, {}, {}, kEps)
      .mul_(modulation.scale + 1)
      .add_(modulation.shift);
}

}  // namespace sdrbee::nn
