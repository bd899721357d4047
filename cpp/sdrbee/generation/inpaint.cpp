#include "sdrbee/generation/inpaint.h"

namespace sdrbee {

Tensor MaskedSource::blend_at(const Tensor& current, const sampling::Plan& plan,
                              const sampling::NoiseLevel& level) const {
  return plan.add_noise_at(latents, noise, level) * (1 - mask) + current * mask;
}

}  // namespace sdrbee
