// Parts of begin that restore needs too.
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

/// Encodes a picture [1, 3, H, W] of the request with a drawn posterior sample.
Tensor encode_picture(ImageModel& model, Generation& generation, const Tensor& picture);

/// Encodes the prompts of a generation that was read back.
void restore_conditions(ImageModel& model, Generation& generation);

}  // namespace sdrbee
