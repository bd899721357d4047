// One picture being made, as a value: begin, advance, finish, save, restore.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sdrbee/core/cancel.h"
#include "sdrbee/core/image.h"
#include "sdrbee/core/rng.h"
#include "sdrbee/generation/guidance.h"
#include "sdrbee/generation/inpaint.h"
#include "sdrbee/generation/request.h"
#include "sdrbee/models/image_model.h"
#include "sdrbee/sampling/plan.h"
#include "sdrbee/sampling/step.h"

namespace sdrbee {

/// A control network that a generation uses.
struct OpenedControl {
  std::shared_ptr<ControlNetwork> network;
  Tensor image;         // [1, ...] as the network is shown it, at the size of the pass
  Tensor masks = {};    // [1, pictures, H, W], see ControlInput::masks
  Tensor factors = {};  // [1, places], see ControlNetwork::place_factors
  int64_t type = 0;     // of the picture, see ControlNetwork::find_type
};

/// What guides in the steps of a pass up to one.
struct GuidancePhase {
  int64_t until = 0;  // the last step, counted from 1
  GuidedConditions conditions = {};
};

/// A picture between two steps. Everything is here: latents, step index, sampler history, noise
/// generator and the resolved request; nothing about it is kept elsewhere.
struct Generation {
  GenerationRequest request;  // resolved: no default is open
  sampling::Plan plan;
  int64_t first_step = 0;    // image-to-image starts later than 0
  int64_t end_step = 0;      // plan.step_count(), or less with denoising_end
  int64_t next_step = 0;     // end_step when the pass is done
  int64_t pass = 0;          // 1 in the second pass of hires_scale
  int64_t steps_before = 0;  // steps of the first pass, in the second
  int64_t steps_after = 0;   // steps of the second pass, in the first
  Tensor latents = {};       // [1, C, h, w] fp32, in the sampler's scale
  Tensor denoised = {};      // the latest estimate of the clean latents, for previews
  sampling::History history = {};
  NoiseSource noise;
  GuidedConditions conditions = {};          // of the next step
  std::vector<GuidancePhase> phases = {};    // of the pass: prompts may change from step to step
  std::optional<MaskedSource> masked = {};   // inpainting with a network that isn't given the mask
  Tensor input_channels = {};                // Conditioning::channels of all prompts
  Tensor reference = {};                     // Conditioning::reference of all prompts
  std::vector<OpenedControl> controls = {};  // of request.controls, in their order
  bool batched = false;                      // shared a network call with another picture
  std::vector<std::string> warnings = {};

  bool pass_done() const { return next_step >= end_step || history.progress >= 1; }
  bool done() const { return pass_done() && steps_after == 0; }
  int64_t steps_taken() const { return steps_before + next_step - first_step; }
  /// Empty where the sampler finds its steps on the way (dpm_adaptive).
  std::optional<int64_t> steps_total() const {
    return plan.open_ended() ? std::nullopt
                             : std::optional(steps_before + end_step - first_step + steps_after);
  }
};

/// A finished picture. Which of `image` and `array` is filled follows `request.output`.
struct GeneratedImage {
  Image image;            // output "image"
  Tensor array;           // "float": [H, W, 3] in 0..1; "latent": [C, h, w]; fp32, CPU
  uint64_t seed = 0;      // the seed that was used
  nlohmann::json recipe;  // all that repeats the picture, see recipe.h
  std::vector<std::string> warnings;
};

/// Starts one picture (`request.count` is not looked at, see split_count): resolves the request,
/// encodes prompts and source picture, draws the first noise in diffusers' order
/// (docs/numerics.md). Throws InvalidRequest.
Generation begin(ImageModel& model, const GenerationRequest& request);

/// What must agree for two generations to share network calls: sizes, tokens, padding,
/// control networks. One with
/// `exact` shares with none.
std::vector<int64_t> batch_key(const Generation& generation);

/// One step of each generation. They may differ in prompt, seed, sampler, step and guidance;
/// those whose latents and token counts agree share network calls. A finished one is left alone.
/// Throws Cancelled when `cancel` is set; the generations then stay as they were before the step.
void advance(ImageModel& model, std::span<Generation* const> generations,
             const CancelToken& cancel = {});

/// Decodes the latents and hands out the picture with its recipe.
GeneratedImage finish(ImageModel& model, Generation&& generation);

/// The generation as bytes, to go on in another process of the same build on the same machine
/// with the bit-identical result. Holds its request with all pictures, and no weights.
std::vector<uint8_t> save(const Generation& generation, const ModelInfo& info);

/// What save() holds but for the request: what changes from step to step.
nlohmann::json save_progress(const Generation& generation, const ModelInfo& info);

/// Throws CheckpointError when the bytes are not a saved generation or belong to another model.
Generation restore(ImageModel& model, std::span<const uint8_t> bytes);

/// The generation of this request from what save_progress() gave. Throws CheckpointError.
Generation restore(ImageModel& model, GenerationRequest request, const nlohmann::json& progress);

}  // namespace sdrbee
