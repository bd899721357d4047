#include "sdrbee/models/sd3/sd3.h"

#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/clip_text.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/common/control_residuals.h"
#include "sdrbee/models/common/describe_model.h"
#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/latent_model.h"
#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/sd3/config.h"
#include "sdrbee/models/sd3/lora_names.h"
#include "sdrbee/models/sd3/open_controlnet.h"
#include "sdrbee/models/sd3/prompt_encoder.h"
#include "sdrbee/models/sd3/transformer.h"

namespace sdrbee::sd3 {
namespace {

// Tokens that T5 is given by default.
// https://github.com/huggingface/diffusers/blob/main/src/diffusers/pipelines/stable_diffusion_3/pipeline_stable_diffusion_3.py
constexpr int64_t kT5Tokens = 256;

/// The transformer of one checkpoint.
class Sd3Denoiser final : public Denoiser {
 public:
  Sd3Denoiser(const io::Component& component, const LoadOptions& options,
              const TransformerConfig& config)
      : network_(component, options,
                 [config](const io::WeightScope& scope) { return Transformer(scope, config); }) {}

  Tensor predict(const Tensor& latents, const Tensor& timesteps,
                 const Conditioning& conditioning) override {
    // Before the network is in use: under a memory limit one may have to make room for the other.
    auto added = control_residuals(latents, timesteps, conditioning);
    const Tensor input =
        conditioning.channels.defined() ? at::cat({latents, conditioning.channels}, 1) : latents;
    return network_
        .use()({.latents = input,
                .timesteps = timesteps,
                .context = conditioning.context,
                .pooled = conditioning.pooled,
                .skipped = conditioning.skipped,
                .residuals = added ? std::move(added->blocks) : std::vector<Tensor>()})
        .to(at::kFloat);
  }

 private:
  LazyNetwork<Transformer> network_;
};

/// Files of the network alone are usual.
void check_whole(const io::Checkpoint& checkpoint) {
  std::string missing;
  for (const char* name : {"text_encoder", "text_encoder_2", "vae"})
    if (checkpoint.find(name) == nullptr)
      missing += message(missing.empty() ? "'" : ", '", name, "'");
  if (!missing.empty())
    throw CheckpointError(message(
        "[", checkpoint.path().string(), "] this model has no ", missing,
        " (the text encoders are CLIP-L and OpenCLIP-bigG): it holds a part of Stable ",
        "Diffusion 3 only; take a file that includes them or the diffusers folder, or give ",
        "them as arguments of these names"));
}

TransformerConfig checked_config(const io::Checkpoint& checkpoint) {
  check_whole(checkpoint);
  const io::Component& transformer = checkpoint.component("transformer", "SD3Transformer2DModel");
  const auto config = TransformerConfig::from(transformer.config);
  check_latent_channels(transformer, {config.in_channels, config.out_channels},
                        checkpoint.component("vae"));
  return config;
}

ModelInfo describe_as(const io::Checkpoint& checkpoint, const LoadOptions& options,
                      const TransformerConfig& config) {
  const Variant& variant = find_variant(config, options.variant);
  ModelInfo info = describe_model(checkpoint, options,
                                  {.family = "sd3",
                                   .id = variant.row.id,
                                   .text_to_image = variant.text_to_image,
                                   .image_to_image = variant.image_to_image,
                                   .inpaint = variant.inpaint,
                                   .default_cells = config.sample_size,
                                   .cells_per_token = config.patch_size,
                                   .looks_like = variant.looks_like,
                                   .folders_tell = false});
  info.sizes.maximum =
      std::min(info.sizes.maximum, config.pos_embed_max_size * info.sizes.multiple);
  info.max_sequence_length = kT5Tokens;
  info.skippable_layers = config.num_layers;
  // The last layer is never used.
  info.max_clip_skip =
      std::min(clip_layers(checkpoint, "text_encoder"), clip_layers(checkpoint, "text_encoder_2")) -
      1;
  Capabilities& can = info.capabilities;
  can.prompt_2 = can.lora = can.controlnet = true;
  can.prompt_3 = checkpoint.find("text_encoder_3") != nullptr;
  can.native_inpaint = config.in_channels != info.latent_channels;
  // Such a network has nothing to take for mask and picture without a mask.
  can.image_to_image = can.text_to_image = !can.native_inpaint;
  return info;
}

}  // namespace

bool recognises(const io::Checkpoint& checkpoint) {
  return checkpoint.find("transformer") != nullptr &&
         checkpoint.pipeline_class().starts_with("StableDiffusion3");
}

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  return describe_as(checkpoint, options, checked_config(checkpoint));
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  const TransformerConfig config = checked_config(checkpoint);
  LatentModelParts parts;
  parts.info = describe_as(checkpoint, options, config);
  parts.prompt_encoder = std::make_unique<Sd3PromptEncoder>(checkpoint, options, config);
  parts.denoiser =
      std::make_unique<Sd3Denoiser>(checkpoint.component("transformer"), options, config);
  parts.lora_names = lora_names(config);
  parts.autoencoder = load_autoencoder(checkpoint, options);
  parts.open_control = controlnets(checkpoint, options);
  return make_latent_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::sd3
