#include "sdrbee/models/stable_diffusion/stable_diffusion.h"

#include <c10/core/InferenceMode.h>

#include <utility>

#include "sdrbee/control/open_control.h"
#include "sdrbee/models/common/clip_text.h"
#include "sdrbee/models/common/unet_model.h"
#include "sdrbee/models/stable_diffusion/config.h"
#include "sdrbee/models/stable_diffusion/prompt_encoder.h"

namespace sdrbee::stable_diffusion {
namespace {

constexpr std::string_view kConsistencyPipeline = "LatentConsistencyModelPipeline";

// diffusers' Stable Diffusion pipelines put two options right that old folders have wrong.
// https://github.com/huggingface/diffusers/blob/main/src/diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion.py
sampling::SchedulerConfig corrected(sampling::SchedulerConfig config) {
  config.steps_offset = 1;
  const bool clips_by_default =
      config.class_name == "DDIMScheduler" || config.class_name == "DDPMScheduler";
  if (config.clip_sample.value_or(clips_by_default)) config.clip_sample = false;
  return config;
}

}  // namespace

bool recognises(const io::Checkpoint& checkpoint) {
  const std::string& pipeline = checkpoint.pipeline_class();
  return checkpoint.find("unet") != nullptr && checkpoint.lists("text_encoder") &&
         !checkpoint.lists("text_encoder_2") &&
         (pipeline.starts_with("StableDiffusion") || pipeline == kConsistencyPipeline);
}

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  ModelInfo info = describe_unet_model(checkpoint, options, "stable_diffusion", unet_variants());
  const bool consistency = checkpoint.pipeline_class() == kConsistencyPipeline;
  info.strength_over_distilled_steps = consistency;
  info.capabilities.embedding = true;
  info.max_clip_skip = clip_layers(checkpoint, "text_encoder");
  if (!consistency) info.scheduler = corrected(std::move(info.scheduler));
  return info;
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  LatentModelParts parts;
  parts.info = describe(checkpoint, options);
  parts.prompt_encoder = std::make_unique<ClipPromptEncoder>(checkpoint, options);
  parts.open_control = control::unet_controls(checkpoint, options);
  return make_unet_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::stable_diffusion
