// Parts of begin that restore and the second pass need too.
#pragma once

#include "sdrbee/generation/generation.h"

namespace sdrbee {

/// The plan of a resolved request; writes the chosen sampler, schedule, spacing and prediction
/// back into the request, so that the recipe names them.
sampling::Plan plan_request(const ImageModel& model, GenerationRequest& request);

/// The plan of the second pass of a request whose first one is planned, and where it begins.
struct PassPlan {
  sampling::Plan plan;
  int64_t first_step = 0;
};
PassPlan plan_second_pass(const ImageModel& model, const GenerationRequest& request);

/// Hands what the network is shown beside the latents to all rows.
void attach_pictures(Generation& generation);

/// Encodes the prompts of a generation that was read back.
void restore_conditions(ImageModel& model, Generation& generation);

}  // namespace sdrbee
