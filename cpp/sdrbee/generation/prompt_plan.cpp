#include "sdrbee/generation/prompt_plan.h"

namespace sdrbee {
namespace {

/// How the picture of a pass is framed. Sizes that are the picture's own are so in both passes.
Framing framing_of(const GenerationRequest& request, PixelSize size) {
  if (request.original_size.empty()) return {};
  const auto of_this_pass = [&](const std::vector<int64_t>& given) {
    const PixelSize chosen{given[0], given[1]};
    return chosen == request.size() ? size : chosen;
  };
  return {.original_size = of_this_pass(request.original_size),
          .target_size = of_this_pass(request.target_size),
          .crop_left = request.crop[0],
          .crop_top = request.crop[1]};
}

bool guides_against_negative(const GenerationRequest& request, const ModelInfo& info) {
  const Capabilities& can = info.capabilities;
  // Beside a guidance that needs none, a negative prompt must be given to have an effect.
  const bool prompted = can.guidance || (can.true_guidance && request.negative_prompt);
  return prompted && contrast_of(request, info) > 1.0;
}

/// What the request says of long prompts; resolve has checked the word.
LongPrompt long_prompt_of(const GenerationRequest& request) {
  if (request.long_prompt == "truncate") return LongPrompt::Truncate;
  return request.long_prompt == "error" ? LongPrompt::Refuse : LongPrompt::Chunk;
}

}  // namespace

double contrast_of(const GenerationRequest& request, const ModelInfo& info) {
  return info.capabilities.guidance ? *request.guidance_scale - info.neutral_guidance_scale + 1.0
                                    : request.true_guidance_scale.value_or(1.0);
}

std::vector<Prompt> plan_prompts(const GenerationRequest& request, const ModelInfo& info,
                                 PixelSize size) {
  const LongPrompt rule = long_prompt_of(request);
  const Framing framing = framing_of(request, size);
  std::vector<Prompt> prompts = {{.text = request.prompt,
                                  .text_2 = request.prompt_2,
                                  .text_3 = request.prompt_3,
                                  .text_tokens = request.max_sequence_length.value_or(0),
                                  .clip_skip = request.clip_skip,
                                  .long_prompt = rule,
                                  .framing = framing}};
  // clip_skip acts on the positive prompt only, as in diffusers.
  if (guides_against_negative(request, info))
    prompts.push_back({.text = request.negative_prompt,
                       .text_2 = request.negative_prompt_2,
                       .text_3 = request.negative_prompt_3,
                       .text_tokens = request.max_sequence_length.value_or(0),
                       .long_prompt = rule,
                       .negative = true,
                       .framing = framing});
  return prompts;
}

}  // namespace sdrbee
