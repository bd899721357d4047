// The start of a generation: prompts, schedule, first latents.
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/draw_latents.h"
#include "sdrbee/generation/generation.h"
#include "sdrbee/generation/plan_request.h"
#include "sdrbee/generation/second_pass.h"
#include "sdrbee/generation/tiling.h"
#include "sdrbee/sampling/plan_details.h"

namespace sdrbee {
namespace {

PixelSize picture_size(const GenerationRequest& request) {
  return {*request.width, *request.height};
}

/// The part of the plan that is run.
void choose_steps(Generation& generation) {
  const GenerationRequest& request = generation.request;
  const sampling::Plan& plan = generation.plan;
  generation.end_step = plan.step_count();
  if (request.strength) generation.first_step = plan.first_step(*request.strength);
  if (request.denoising_start) generation.first_step = plan.takeover_step(*request.denoising_start);
  if (request.denoising_end) generation.end_step = plan.handover_step(*request.denoising_end);
  if (generation.first_step >= generation.end_step)
    throw InvalidRequest(message("[", request.denoising_end ? "denoising_end" : "denoising_start",
                                 "] leaves none of the ", plan.step_count(),
                                 " steps; take more steps or a larger part"));
}

/// How the picture of a pass is framed. Sizes that are the picture's own are so in both passes.
Framing framing_of(const GenerationRequest& request, PixelSize size) {
  if (request.original_size.empty()) return {};
  const auto of_this_pass = [&](const std::vector<int64_t>& given) {
    const PixelSize chosen{given[0], given[1]};
    return chosen == picture_size(request) ? size : chosen;
  };
  return {.original_size = of_this_pass(request.original_size),
          .target_size = of_this_pass(request.target_size),
          .crop_left = request.crop[0],
          .crop_top = request.crop[1]};
}

/// The weight of the prompt against the negative one.
double contrast_of(const GenerationRequest& request, const ModelInfo& info) {
  return info.capabilities.guidance ? *request.guidance_scale - info.neutral_guidance_scale + 1.0
                                    : request.true_guidance_scale.value_or(1.0);
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

/// The positive prompt and, where classifier-free guidance acts, the negative one.
std::vector<Prompt> prompts_of(const GenerationRequest& request, const ModelInfo& info,
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

/// Tells each row which blocks it passes by: none, but in the row of skip-layer guidance.
void choose_skipped_layers(Generation& generation, int64_t layers) {
  GuidedConditions& all = generation.conditions;
  const Tensor none = at::zeros({1, layers}, at::kBool);
  if (all.base) all.base->skipped = none;
  for (WeightedCondition& condition : all.conditions) condition.conditioning.skipped = none;
  const GenerationRequest& request = generation.request;
  if (request.skip_guidance_layers.empty() || !all.base) return;
  all.skipping = {all.conditions.front().conditioning, request.skip_layer_guidance_scale};
  all.skipping->conditioning.skipped = none.clone();
  for (const int64_t layer : request.skip_guidance_layers)
    all.skipping->conditioning.skipped.select(1, layer).fill_(true);
}

void encode_prompts(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  const PixelSize size =
      generation.pass == 0 ? picture_size(request) : hires_size(request, model.info());
  EncodedPrompts encoded = model.encode(prompts_of(request, model.info(), size));
  if (model.info().capabilities.distilled_guidance)
    for (Conditioning& conditioning : encoded.conditionings)
      conditioning.guidance = at::full({1}, *request.guidance_scale, at::kDouble);
  generation.conditions.conditions = {
      {encoded.conditionings[0], contrast_of(request, model.info())}};
  if (encoded.conditionings.size() > 1) generation.conditions.base = encoded.conditionings[1];
  if (model.info().skippable_layers > 0)
    choose_skipped_layers(generation, model.info().skippable_layers);
  for (std::string& warning : encoded.warnings)
    if (std::ranges::find(generation.warnings, warning) == generation.warnings.end())
      generation.warnings.push_back(std::move(warning));
}

constexpr double kLeastShare = 0.01;  // of the steps that a second pass runs

/// The request's choices of sampler and noise levels, for a picture of `size`.
sampling::SamplerOptions sampler_options(const ImageModel& model, const GenerationRequest& request,
                                         PixelSize size, int64_t steps) {
  sampling::SamplerOptions options;
  options.sampler = request.sampler;
  options.schedule = request.schedule;
  options.spacing = request.spacing;
  options.prediction = request.prediction;
  options.sigmas = request.sigmas;
  options.eta = request.eta;
  options.s_churn = request.s_churn;
  options.s_noise = request.s_noise;
  options.rho = request.rho;
  options.xl_steps = model.info().align_your_steps_xl;
  if (model.scheduler().use_dynamic_shifting)
    options.mu = model.dynamic_shift(model.info().token_count(size), steps);
  return options;
}

/// The number of steps that own sigmas make.
int64_t own_steps(const GenerationRequest& request, const sampling::Plan& plan) {
  const int64_t steps = plan.open_ended() ? std::ssize(request.sigmas) - 1 : plan.step_count();
  if (request.steps.value_or(steps) == steps) return steps;
  throw InvalidRequest(message("[steps] expected ", steps, " to match `sigmas` but got ",
                               *request.steps, "; leave `steps` out"));
}

}  // namespace

sampling::Plan plan_request(const ImageModel& model, GenerationRequest& request) {
  const int64_t steps = request.steps.value_or(std::max<int64_t>(1, std::ssize(request.sigmas)));
  sampling::SamplerOptions options = sampler_options(model, request, picture_size(request), steps);
  options.strength = request.strength.value_or(1.0);
  if (model.info().strength_over_distilled_steps && request.mode() == Mode::ImageToImage)
    options.distilled_strength = options.strength;
  sampling::Plan plan = sampling::make_plan(model.scheduler(), options, steps);
  if (!request.sigmas.empty()) request.steps = own_steps(request, plan);
  request.sampler = plan.sampler();
  request.schedule = plan.schedule();
  request.spacing = plan.spacing();
  request.prediction = plan.prediction();
  return plan;
}

PassPlan plan_second_pass(const ImageModel& model, const GenerationRequest& request) {
  const bool distilled = model.info().strength_over_distilled_steps &&
                         sampling::find_sampler(*request.sampler).grid == sampling::Grid::Lcm;
  // As many steps are run as were asked for: the plan is as long as the strength makes it.
  const int64_t run = *request.hires_steps;
  const auto share = std::max(request.hires_denoising_strength, kLeastShare);
  const auto laid_out = std::max(run, static_cast<int64_t>(static_cast<double>(run) / share));
  const int64_t steps = distilled ? run : laid_out;
  sampling::SamplerOptions options =
      sampler_options(model, request, hires_size(request, model.info()), steps);
  options.strength = request.hires_denoising_strength;
  if (distilled) options.distilled_strength = options.strength;
  sampling::Plan plan = sampling::make_plan(model.scheduler(), options, steps);
  const bool whole = distilled || plan.details().from_strength;
  const int64_t first = whole ? 0 : std::max<int64_t>(0, plan.step_count() - run);
  return {std::move(plan), first};
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
  const c10::InferenceMode inference;
  GenerationRequest resolved = resolve(request, model.info());
  sampling::Plan plan = plan_request(model, resolved);
  const uint64_t seed = *resolved.seed;
  Generation generation{
      .request = std::move(resolved), .plan = std::move(plan), .noise = NoiseSource(seed)};
  choose_steps(generation);
  if (generation.request.hires_scale)
    generation.steps_after = second_pass_steps(model, generation.request);
  const nn::CircularPadding padding = padding_of(generation.request);
  encode_prompts(model, generation);
  draw_latents(model, generation);
  attach_pictures(generation);
  generation.next_step = generation.first_step;
  return generation;
}

void restore_conditions(ImageModel& model, Generation& generation) {
  const c10::InferenceMode inference;
  encode_prompts(model, generation);
  attach_pictures(generation);
}

}  // namespace sdrbee
