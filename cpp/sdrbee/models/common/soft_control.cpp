#include "sdrbee/models/common/soft_control.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace sdrbee {
namespace {

constexpr double kLayerFactor = 0.825;
constexpr size_t kFullLayer = 12;  // the middle block of Stable Diffusion 1.x
constexpr std::array kFeatureFactors = {0.25, 0.62, 0.825, 1.0};

double layer_factor(size_t layer) {
  return std::pow(kLayerFactor, static_cast<double>(kFullLayer - std::min(layer, kFullLayer)));
}

}  // namespace

void soften(ControlResiduals& residuals) {
  for (size_t i = 0; i < residuals.skips.size(); ++i)
    residuals.skips[i] = residuals.skips[i].mul(layer_factor(i));
  if (residuals.middle.defined())
    residuals.middle = residuals.middle.mul(layer_factor(residuals.skips.size()));
  for (size_t i = 0; i < std::min(residuals.features.size(), kFeatureFactors.size()); ++i)
    residuals.features[i] = residuals.features[i].mul(kFeatureFactors[i]);
}

}  // namespace sdrbee
