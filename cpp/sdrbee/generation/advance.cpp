// The one denoising loop.
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <bit>
#include <map>

#include "sdrbee/core/check.h"
#include "sdrbee/generation/conditions.h"
#include "sdrbee/generation/controls.h"
#include "sdrbee/generation/generation.h"
#include "sdrbee/generation/second_pass.h"
#include "sdrbee/generation/tiling.h"
#include "sdrbee/models/computing.h"

namespace sdrbee {
namespace {

/// A generation inside a step. It works on copies, so that a cancelled step leaves no trace.
struct Running {
  Generation* generation;
  ActiveGuidance active;
  sampling::History history;
  NoiseSource noise;
  sampling::Constraint constrain;
  std::optional<sampling::Step> step;
  Tensor denoised;
  bool batched = false;

  explicit Running(Generation& source)
      : generation(&source),
        active(active_guidance(source)),
        history(source.history),
        noise(source.noise) {
    if (source.masked)
      constrain = [&source](Tensor latents, const sampling::NoiseLevel& level) {
        return source.masked->blend_at(latents, source.plan, level);
      };
    step.emplace(sampling::begin_step({source.plan, source.next_step, noise, constrain},
                                      source.latents, history));
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  static ActiveGuidance active_guidance(const Generation& generation) {
    const GenerationRequest& request = generation.request;
    const bool open = generation.plan.open_ended();
    const double step =
        open ? generation.history.progress : static_cast<double>(generation.next_step);
    const double count = open ? 1 : static_cast<double>(generation.plan.step_count());
    ActiveGuidance active;
    active.scaled = generation.conditions.base && step / count >= request.guidance_start &&
                    step / count < request.guidance_end;
    active.contrast = active.scaled || generation.conditions.composed;
    active.skipping = active.scaled && generation.conditions.skipping &&
                      step > count * request.skip_layer_guidance_start &&
                      step < count * request.skip_layer_guidance_stop;
    return active;
  }

  void commit() {
    generation->latents = step->latents();
    generation->history = std::move(history);
    const int64_t next = generation->next_step + 1;
    // The clean source after the last step, also where denoising_end cuts, as in diffusers.
    const int64_t begins = next == generation->end_step ? generation->plan.step_count() : next;
    const sampling::NoiseLevel level = generation->plan.level(begins, generation->history);
    if (generation->masked)
      generation->latents =
          generation->masked->blend_at(generation->latents, generation->plan, level);
    if (denoised.defined()) generation->denoised = denoised;
    generation->noise = std::move(noise);
    generation->batched |= batched;
    ++generation->next_step;
  }
};

/// One network call for generations of the same key, then each goes on to its next evaluation.
void evaluate(ImageModel& model, const std::vector<Running*>& batch) {
  std::vector<Tensor> inputs;
  std::vector<Tensor> timesteps;
  std::vector<const Conditioning*> rows;
  std::vector<GenerationRows> parts;
  for (const Running* running : batch) {
    const sampling::Evaluation& wanted = running->step->evaluation();
    const auto own = running->generation->conditions.rows(running->active);
    parts.push_back({running->generation, own.size(), running->active.contrast});
    for (const Conditioning* row : own) {
      inputs.push_back(wanted.input);
      timesteps.push_back(at::full({1}, wanted.timestep, wanted.input.options()));
      rows.push_back(row);
    }
  }
  const nn::CircularPadding padding = padding_of(batch.front()->generation->request);
  Conditioning conditioning = stack(rows);
  conditioning.controls = control_inputs(parts);
  model.adapt(batch.front()->generation->request.loras);  // all of the batch have the same ones
  const Tensor raw = model.denoiser().predict(at::cat(inputs), at::cat(timesteps), conditioning);
  int64_t next_row = 0;
  for (Running* running : batch) {
    const GuidedConditions& conditions = running->generation->conditions;
    std::vector<Tensor> own;
    for (size_t i = 0; i < conditions.rows(running->active).size(); ++i)
      own.push_back(raw.narrow(0, next_row++, 1));
    running->batched |= batch.size() > 1;
    const GenerationRequest& request = running->generation->request;
    sampling::Prediction prediction =
        guide(conditions, own, running->active, request.guidance_rescale);
    if (request.preview != "none")
      running->denoised = sampling::predicted_clean(running->generation->plan,
                                                    running->step->evaluation(), prediction.raw);
    running->step->resume(std::move(prediction));
  }
}

}  // namespace

std::vector<int64_t> batch_key(const Generation& generation) {
  const Conditioning& conditioning = generation.conditions.conditions.front().conditioning;
  std::vector<int64_t> key = generation.latents.sizes().vec();
  key.push_back(conditioning.context.size(1));
  if (conditioning.reference.defined()) {
    key.push_back(conditioning.reference.size(2));
    key.push_back(conditioning.reference.size(3));
  }
  for (const char axis : generation.request.tiling) key.push_back(axis);
  add_controls_to_key(generation, key);
  for (const lora::LoraUse& use : generation.request.loras) {
    for (const char digit : use.sha256) key.push_back(digit);
    key.push_back(std::bit_cast<int64_t>(use.strength));
    for (const double strength : use.blocks) key.push_back(std::bit_cast<int64_t>(strength));
  }
  // `exact` runs alone: its key is its own address.
  key.push_back(generation.request.exact ? reinterpret_cast<int64_t>(&generation) : 0);
  return key;
}

void advance(ImageModel& model, std::span<Generation* const> generations,
             const CancelToken& cancel) {
  const Computing computing(model);
  std::vector<std::unique_ptr<Running>> all;
  for (Generation* generation : generations) {
    if (generation->done()) continue;
    if (generation->pass_done()) begin_second_pass(model, *generation);
    if (generation->phases.size() > 1) choose_conditions(*generation);
    all.push_back(std::make_unique<Running>(*generation));
  }
  while (true) {
    std::map<std::vector<int64_t>, std::vector<Running*>> batches;
    for (const auto& running : all)
      if (!running->step->done()) batches[batch_key(*running->generation)].push_back(running.get());
    if (batches.empty()) break;
    for (const auto& [key, batch] : batches) {
      cancel.check();
      evaluate(model, batch);
    }
  }
  for (const auto& running : all) running->commit();
}

}  // namespace sdrbee
