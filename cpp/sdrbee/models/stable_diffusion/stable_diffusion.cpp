#include "sdrbee/models/stable_diffusion/stable_diffusion.h"

#include <c10/core/InferenceMode.h>

#include "sdrbee/core/check.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/unet_2d_condition.h"
#include "sdrbee/models/common/unet_denoiser.h"
#include "sdrbee/models/stable_diffusion/config.h"
#include "sdrbee/models/stable_diffusion/prompt_encoder.h"
#include "sdrbee/sampling/scheduler_config.h"

namespace sdrbee::stable_diffusion {
namespace {

// diffusers takes the class from model_index.json, and its Stable Diffusion pipelines put two
// options right that old folders have wrong.
// https://github.com/huggingface/diffusers/blob/main/src/diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion.py
sampling::SchedulerConfig scheduler_config(const io::Component& component) {
  auto config = sampling::SchedulerConfig::from_json(component.config);
  if (!component.class_name.empty()) config.class_name = component.class_name;
  config.steps_offset = 1;
  const bool clips_by_default =
      config.class_name == "DDIMScheduler" || config.class_name == "DDPMScheduler";
  if (config.clip_sample.value_or(clips_by_default)) config.clip_sample = false;
  return config;
}

class StableDiffusion final : public ImageModel {
 public:
  StableDiffusion(Sealed sealed, const io::Checkpoint& checkpoint, const LoadOptions& options)
      : ImageModel(sealed),
        checkpoint_(checkpoint),
        device_(options.device),
        info_(describe(checkpoint, options)),
        scheduler_(scheduler_config(checkpoint.component("scheduler"))),
        prompt_encoder_(checkpoint, options),
        denoiser_(checkpoint.component("unet", "UNet2DConditionModel"), options),
        autoencoder_(checkpoint.component("vae", "AutoencoderKL"), options) {}

  const ModelInfo& info() const override { return info_; }
  const sampling::SchedulerConfig& scheduler() const override { return scheduler_; }
  Denoiser& denoiser() override { return denoiser_; }
  Autoencoder& autoencoder() override { return autoencoder_; }
  Device device() const override { return device_; }

  const std::string& sha256() override {
    if (sha256_.empty()) sha256_ = checkpoint_.sha256();
    return sha256_;
  }

  EncodedPrompts encode(std::span<const Prompt> prompts) override {
    return prompt_encoder_.encode(prompts);
  }

 private:
  io::Checkpoint checkpoint_;
  Device device_;
  ModelInfo info_;
  sampling::SchedulerConfig scheduler_;
  PromptEncoder prompt_encoder_;
  UnetDenoiser denoiser_;
  KlAutoencoder autoencoder_;
  std::string sha256_;
};

}  // namespace

std::span<const VariantRow> variants() { return kVariants; }

bool recognises(const io::Checkpoint& checkpoint) {
  return checkpoint.find("unet") != nullptr && checkpoint.find("text_encoder") != nullptr &&
         checkpoint.find("text_encoder_2") == nullptr &&
         checkpoint.pipeline_class().starts_with("StableDiffusion");
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  const io::Component* encoder = &checkpoint.component("text_encoder", "CLIPTextModel");
  check_text_width(checkpoint.component("unet"), {&encoder, 1});
  check_latent_channels(checkpoint.component("unet"), checkpoint.component("vae"));
  return std::make_unique<StableDiffusion>(sealed, checkpoint, options);
}

}  // namespace sdrbee::stable_diffusion
