// The start of a generation: prompts and first latents.
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "sdrbee/generation/conditions.h"
#include "sdrbee/generation/controls.h"
#include "sdrbee/generation/draw_latents.h"
#include "sdrbee/generation/generation.h"
#include "sdrbee/generation/plan_request.h"
#include "sdrbee/generation/prompt_plan.h"
#include "sdrbee/generation/second_pass.h"
#include "sdrbee/generation/tiling.h"
#include "sdrbee/models/computing.h"

namespace sdrbee {
namespace {

/// Tells each row which blocks it passes by: none, but in the row of skip-layer guidance.
void choose_skipped_layers(GuidedConditions& all, const GenerationRequest& request,
                           int64_t layers) {
  const Tensor none = at::zeros({1, layers}, at::kBool);
  if (all.base) all.base->skipped = none;
  for (WeightedCondition& condition : all.conditions) condition.conditioning.skipped = none;
  if (request.skip_guidance_layers.empty() || !all.base) return;
  all.skipping = {all.conditions.front().conditioning, request.skip_layer_guidance_scale};
  all.skipping->conditioning.skipped = none.clone();
  for (const int64_t layer : request.skip_guidance_layers)
    all.skipping->conditioning.skipped.select(1, layer).fill_(true);
}

/// What guides in one phase of the prompts. Parts of a prompt are weighed also at a scale that
/// switches guidance off.
GuidedConditions conditions_of(const PromptPlan& plan, const PromptPlan::Phase& phase,
                               const std::vector<Conditioning>& encoded,
                               const GenerationRequest& request, const ModelInfo& info) {
  GuidedConditions all;
  all.composed = plan.composed();
  const double contrast = contrast_of(request, info);
  const double scale = all.composed ? std::max(1.0, contrast) : contrast;
  for (const auto& [prompt, share] : phase.conditions)
    all.conditions.push_back({encoded[prompt], scale * share, share});
  if (phase.base) all.base = encoded[*phase.base];
  if (info.skippable_layers > 0) choose_skipped_layers(all, request, info.skippable_layers);
  return all;
}

void encode_prompts(ImageModel& model, Generation& generation) {
  const auto warn = [&](std::vector<std::string> warnings) {
    for (std::string& warning : warnings)
      if (std::ranges::find(generation.warnings, warning) == generation.warnings.end())
        generation.warnings.push_back(std::move(warning));
  };
  warn(model.adapt(generation.request.loras));
  const GenerationRequest& request = generation.request;
  const PixelSize size = size_of_pass(generation, model.info());
  const PromptPlan plan = plan_prompts(request, model.info(), size, generation.pass);
  EncodedPrompts encoded = model.encode(plan.prompts);
  if (model.info().capabilities.distilled_guidance)
    for (Conditioning& conditioning : encoded.conditionings)
      conditioning.guidance = at::full({1}, *request.guidance_scale, at::kDouble);
  generation.phases.clear();
  for (const PromptPlan::Phase& phase : plan.phases)
    generation.phases.push_back(
        {phase.until, conditions_of(plan, phase, encoded.conditionings, request, model.info())});
  choose_conditions(generation);
  warn(std::move(encoded.warnings));
}

}  // namespace

void choose_conditions(Generation& generation) {
  const bool open = generation.plan.open_ended();
  const double steps = static_cast<double>(generation.request.steps.value_or(1));
  const int64_t taken = open ? static_cast<int64_t>(generation.history.progress * steps)
                             : generation.next_step - generation.first_step;
  const auto phase = std::ranges::find_if(
      generation.phases, [taken](const GuidancePhase& one) { return taken <= one.until; });
  generation.conditions = phase->conditions;
  attach_pictures(generation);
}

void attach_pictures(Generation& generation) {
  const auto attach = [&](Conditioning& row) {
    row.channels = generation.input_channels;
    row.reference = generation.reference;
  };
  GuidedConditions& all = generation.conditions;
  if (all.base) attach(*all.base);
  for (WeightedCondition& condition : all.conditions) attach(condition.conditioning);
  if (all.skipping) attach(all.skipping->conditioning);
}

Generation begin(ImageModel& model, const GenerationRequest& request) {
  const Computing computing(model);
  PlannedRequest planned = plan_request(request, model.info(), model.prompt_check().get());
  const uint64_t seed = *planned.request.seed;
  Generation generation{.request = std::move(planned.request),
                        .plan = std::move(planned.plan),
                        .first_step = planned.first_step,
                        .end_step = planned.end_step,
                        .next_step = planned.first_step,
                        .steps_after = planned.second_pass_steps,
                        .noise = NoiseSource(seed)};
  const nn::CircularPadding padding = padding_of(generation.request);
  generation.noise = open_controls(model, generation);
  encode_prompts(model, generation);
  draw_latents(model, generation);
  attach_pictures(generation);
  return generation;
}

void restore_conditions(ImageModel& model, Generation& generation) {
  const Computing computing(model);
  open_controls(model, generation);
  encode_prompts(model, generation);
  attach_pictures(generation);
}

}  // namespace sdrbee
