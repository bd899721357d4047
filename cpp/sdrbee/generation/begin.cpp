// The start of a generation: prompts, schedule, first latents.
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <iterator>

#include "sdrbee/core/error.h"
#include "sdrbee/generation/generation.h"
#include "sdrbee/generation/plan_request.h"
#include "sdrbee/generation/source_image.h"

namespace sdrbee {
namespace {

PixelSize picture_size(const GenerationRequest& request) {
  return {*request.width, *request.height};
}

std::vector<int64_t> latent_shape(const ModelInfo& info, PixelSize size) {
  return {1, info.latent_channels, size.height / info.latent_downscale,
          size.width / info.latent_downscale};
}

/// Encodes the source picture with a drawn posterior sample.
Tensor encode_source(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  const Tensor picture = picture_to_tensor(*request.image, picture_size(request));
  const LatentPosterior posterior = model.autoencoder().encode(picture.to(model.device()));
  std::ranges::move(model.autoencoder().take_warnings(), std::back_inserter(generation.warnings));
  return posterior.sample(generation.noise.normal(posterior.mean.sizes()));
}

/// diffusers resizes the mask to latent cells by nearest neighbour: the first pixel of each cell.
Tensor latent_mask(const GenerationRequest& request, const ModelInfo& info, Device device) {
  const Tensor mask = mask_to_tensor(*request.mask, picture_size(request));
  const int64_t cell = info.latent_downscale;
  return mask.slice(2, 0, std::nullopt, cell)
      .slice(3, 0, std::nullopt, cell)
      .contiguous()
      .to(device);
}

/// The first latents; the order of the draws is that of diffusers' pipelines (docs/numerics.md).
void draw_latents(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  const sampling::Plan& plan = generation.plan;
  const auto shape = latent_shape(model.info(), picture_size(request));
  const Device device = model.device();
  if (request.mode() == Mode::TextToImage) {
    generation.latents = generation.noise.normal(shape).to(device) * plan.initial_noise_scale();
    return;
  }
  const Tensor source = encode_source(model, generation);
  const Tensor noise = generation.noise.normal(shape).to(device);
  generation.first_step = plan.first_step(*request.strength);
  const bool from_pure_noise = request.mode() == Mode::Inpaint && *request.strength == 1.0;
  generation.latents = from_pure_noise ? noise * plan.initial_noise_scale()
                                       : plan.add_start_noise(source, noise, generation.first_step);
  if (request.mode() == Mode::Inpaint) {
    // diffusers encodes the masked picture here; a network without mask channels never sees it,
    // but its draw moves the generator.
    generation.noise.normal(shape);
    generation.masked = MaskedSource{source, noise, latent_mask(request, model.info(), device)};
  }
}

void encode_prompts(ImageModel& model, Generation& generation) {
  const GenerationRequest& request = generation.request;
  const LongPrompt rule = request.long_prompt == "chunk" ? LongPrompt::Chunk : LongPrompt::Truncate;
  std::vector<Prompt> prompts = {{request.prompt, request.clip_skip, rule}};
  const bool guided = *request.guidance_scale > 1.0 && model.info().capabilities.guidance;
  // clip_skip acts on the positive prompt only, as in diffusers.
  if (guided) prompts.push_back({request.negative_prompt.value_or(""), 0, rule});
  EncodedPrompts encoded = model.encode(prompts);
  generation.conditions.conditions = {{encoded.conditionings[0], *request.guidance_scale}};
  if (guided) generation.conditions.base = encoded.conditionings[1];
  generation.warnings = std::move(encoded.warnings);
}

}  // namespace

sampling::Plan plan_request(const ImageModel& model, GenerationRequest& request) {
  sampling::SamplerOptions options;
  options.sampler = request.sampler;
  options.schedule = request.schedule;
  options.spacing = request.spacing;
  options.prediction = request.prediction;
  options.sigmas = request.sigmas;
  options.eta = request.eta;
  options.s_churn = request.s_churn;
  options.s_noise = request.s_noise;
  sampling::Plan plan = sampling::make_plan(model.scheduler(), options, *request.steps);
  request.sampler = plan.sampler();
  request.schedule = plan.schedule();
  request.spacing = plan.spacing();
  request.prediction = plan.prediction();
  return plan;
}

Generation begin(ImageModel& model, const GenerationRequest& request) {
  const c10::InferenceMode inference;
  GenerationRequest resolved = resolve(request, model.info());
  sampling::Plan plan = plan_request(model, resolved);
  const uint64_t seed = *resolved.seed;
  Generation generation{
      .request = std::move(resolved), .plan = std::move(plan), .noise = NoiseSource(seed)};
  encode_prompts(model, generation);
  draw_latents(model, generation);
  generation.next_step = generation.first_step;
  return generation;
}

void restore_conditions(ImageModel& model, Generation& generation) {
  const c10::InferenceMode inference;
  encode_prompts(model, generation);
}

}  // namespace sdrbee
