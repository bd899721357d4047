// The prompts that a model is asked to encode for a request.
#pragma once

#include <vector>

#include "sdrbee/generation/request.h"
#include "sdrbee/models/conditioning.h"
#include "sdrbee/models/model_info.h"

namespace sdrbee {

/// The weight of the prompt against the negative one, of a resolved request.
double contrast_of(const GenerationRequest& request, const ModelInfo& info);

/// The positive prompt and, where classifier-free guidance acts, the negative one: of a resolved
/// request, for a pass that makes a picture of `size`.
std::vector<Prompt> plan_prompts(const GenerationRequest& request, const ModelInfo& info,
                                 PixelSize size);

}  // namespace sdrbee
