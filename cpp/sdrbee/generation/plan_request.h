// What a request comes to for a model: every default filled in, and its steps laid out.
#pragma once

#include <cstdint>

#include "sdrbee/generation/request.h"
#include "sdrbee/models/model_info.h"
#include "sdrbee/models/prompt_check.h"
#include "sdrbee/sampling/plan.h"

namespace sdrbee {

/// A request that is ready to begin.
struct PlannedRequest {
  GenerationRequest request;  ///< resolved; its sampler, schedule, spacing ... are the plan's
  sampling::Plan plan;
  int64_t first_step = 0;         ///< image-to-image starts later than 0
  int64_t end_step = 0;           ///< plan.step_count(), or less with denoising_end
  int64_t second_pass_steps = 0;  ///< 0 without hires_scale
};

/// Makes all checks for which no weights are needed, and lays out the steps. The tokens of prompts
/// are counted where the model's `tokenizers` are at hand. A request that comes out of it can be
/// given again. Throws InvalidRequest, and UnsupportedModel for a scheduler that is not supported.
PlannedRequest plan_request(GenerationRequest request, const ModelInfo& info,
                            const PromptCheck* tokenizers = nullptr);

/// The plan of the second pass of a request whose first one is planned, and where it begins.
struct PassPlan {
  sampling::Plan plan;
  int64_t first_step = 0;
};
PassPlan plan_second_pass(const GenerationRequest& request, const ModelInfo& info);

}  // namespace sdrbee
