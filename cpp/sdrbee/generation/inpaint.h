// Inpainting by blending latents: a network without mask channels keeps the unmasked part.
#pragma once

#include "sdrbee/core/tensor.h"
#include "sdrbee/sampling/plan.h"
#include "sdrbee/sampling/step.h"

namespace sdrbee {

/// The source of an inpainting: where `mask` is 0 the latents are put back after every step.
struct MaskedSource {
  Tensor latents;  // clean source latents [1, C, h, w]
  Tensor noise;    // the noise they are raised with, same shape
  Tensor mask;     // [1, 1, h, w], 1 repaints

  /// The blend of diffusers' inpainting pipeline: `current` where the mask is 1, elsewhere the
  /// source raised to a noise level of the plan.
  Tensor blend_at(const Tensor& current, const sampling::Plan& plan,
                  const sampling::NoiseLevel& level) const;
};

}  // namespace sdrbee
