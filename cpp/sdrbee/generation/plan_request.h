// Parts of begin that restore needs too.
#pragma once

#include "sdrbee/generation/generation.h"

namespace sdrbee {

/// The plan of a resolved request; writes the chosen sampler, schedule, spacing and prediction
/// back into the request, so that the recipe names them.
sampling::Plan plan_request(const ImageModel& model, GenerationRequest& request);

/// Encodes the prompts of a generation that was read back.
void restore_conditions(ImageModel& model, Generation& generation);

}  // namespace sdrbee
