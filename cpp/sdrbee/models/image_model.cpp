#include "sdrbee/models/image_model.h"

#include "sdrbee/core/check.h"

namespace sdrbee {

Tensor LatentPosterior::sample(const Tensor& noise) const {
  SDRBEE_CHECK(noise.sizes() == mean.sizes(), shape_text(noise.sizes()));
  return mean + deviation * noise.to(mean.device());
}

}  // namespace sdrbee
