// What all control networks of one evaluation add together.
#pragma once

#include <optional>

#include "sdrbee/models/control_network.h"

namespace sdrbee {

/// The sum over `conditioning.controls` of strength times residuals; nothing when none of them acts
/// on any row. A network runs on those rows only on which it acts.
std::optional<ControlResiduals> control_residuals(const Tensor& latents, const Tensor& timesteps,
                                                  const Conditioning& conditioning);

}  // namespace sdrbee
