#include "sdrbee/generation/inpaint.h"

namespace sdrbee {

Tensor MaskedSource::blend_at(const Tensor& current, const sampling::Plan& plan,
                              const sampling::NoiseLevel& level) const {
  return blend(current, plan.add_noise_at(latents, noise, level));
}

Tensor MaskedSource::blend_before(const Tensor& current, const sampling::Plan& plan,
                                  int64_t step) const {
  return blend(current, plan.add_noise(latents, noise, step));
}

Tensor MaskedSource::blend(const Tensor& current, const Tensor& source) const {
  return source * (1 - mask) + current * mask;
}

}  // namespace sdrbee
