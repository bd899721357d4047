#include "sdrbee/models/flux/flux.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/pixel_unshuffle.h>
#include <c10/core/InferenceMode.h>

#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/common/describe_model.h"
#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/latent_model.h"
#include "sdrbee/models/flux/denoiser.h"
#include "sdrbee/models/flux/lora_names.h"
#include "sdrbee/models/flux/open_controlnet.h"
#include "sdrbee/models/flux/patches.h"
#include "sdrbee/models/flux/prompt_encoder.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee::flux {
namespace {

constexpr int64_t kDefaultCells = 128;

/// Sizes that Kontext was trained on.
/// https://github.com/black-forest-labs/flux/blob/main/src/flux/util.py
const std::vector<PixelSize> kKontextSizes = {
    {672, 1568}, {688, 1504}, {720, 1456},  {752, 1392}, {800, 1328}, {832, 1248},
    {880, 1184}, {944, 1104}, {1024, 1024}, {1104, 944}, {1184, 880}, {1248, 832},
    {1328, 800}, {1392, 752}, {1456, 720},  {1504, 688}, {1568, 672}};

/// What Fill's network takes: the masked picture's latents and all of the mask's pixels.
Tensor fill_channels(const Tensor& mask, const Tensor& masked_latents) {
  const int64_t cell = mask.size(2) / masked_latents.size(2);
  // [1, 1, H, W] -> [1, cell*cell, h, w]
  const Tensor pixels = at::pixel_unshuffle(mask, cell).to(masked_latents.options());
  return at::cat({masked_latents, pixels}, 1);
}

void check_latent_channels(const io::Component& network, const io::Component& vae) {
  const int64_t channels = vae::AutoencoderKlConfig::from(vae.config).latent_channels;
  require_equal(network, "out_channels", TransformerConfig::from(network.config).out_channels,
                channels * kPatch * kPatch,
                message("for the 'latent_channels' of ", vae.config.origin()));
}

const Variant& checked_variant(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  check_latent_channels(checkpoint.component("transformer", "FluxTransformer2DModel"),
                        checkpoint.component("vae"));
  return find_variant(checkpoint, options);
}

ModelInfo describe_as(const io::Checkpoint& checkpoint, const LoadOptions& options,
                      const Variant& variant) {
  ModelInfo info = describe_model(checkpoint, options,
                                  {.family = "flux",
                                   .id = variant.row.id,
                                   .text_to_image = variant.text_to_image,
                                   .image_to_image = variant.image_to_image,
                                   .inpaint = variant.inpaint,
                                   .default_cells = kDefaultCells,
                                   .cells_per_token = kPatch,
                                   .looks_like = variant.looks_like,
                                   .folders_tell = variant.folders_tell});
  info.scheduler.whole_flow = true;
  info.capabilities = variant.capabilities;
  info.capabilities.lora = true;
  info.always_encodes_source = variant.capabilities.native_inpaint;
  info.max_sequence_length = variant.max_sequence_length;
  if (variant.capabilities.reference_image) info.reference_sizes = kKontextSizes;
  return info;
}

}  // namespace

bool recognises(const io::Checkpoint& checkpoint) {
  const std::string& pipeline = checkpoint.pipeline_class();
  const io::Component* network = checkpoint.find("transformer");
  return network != nullptr && network->class_name == "FluxTransformer2DModel" &&
         pipeline.starts_with("Flux");
}

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  return describe_as(checkpoint, options, checked_variant(checkpoint, options));
}

std::unique_ptr<ImageModel> load(Sealed sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options) {
  const c10::InferenceMode inference;
  const Variant& variant = checked_variant(checkpoint, options);
  LatentModelParts parts;
  parts.info = describe_as(checkpoint, options, variant);
  parts.prompt_encoder = std::make_unique<FluxPromptEncoder>(checkpoint, options);
  const io::Component& transformer = checkpoint.component("transformer");
  parts.denoiser = std::make_unique<FluxDenoiser>(transformer, options);
  parts.lora_names = lora_names(TransformerConfig::from(transformer.config));
  parts.autoencoder = load_autoencoder(checkpoint, options);
  if (variant.capabilities.controlnet) parts.open_control = controlnets(checkpoint, options);
  if (variant.capabilities.native_inpaint) parts.inpaint_channels = &fill_channels;
  return make_latent_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee::flux
