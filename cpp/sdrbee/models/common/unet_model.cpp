#include "sdrbee/models/common/unet_model.h"

#include <utility>
#include <vector>

#include "sdrbee/models/common/component_fit.h"
#include "sdrbee/models/common/describe_model.h"
#include "sdrbee/models/common/kl_autoencoder.h"
#include "sdrbee/models/common/ldm_rename_table.h"
#include "sdrbee/models/common/unet_2d_condition_config.h"
#include "sdrbee/models/common/unet_denoiser.h"

namespace sdrbee {
namespace {

void check_fit(const io::Checkpoint& checkpoint) {
  std::vector<const io::Component*> encoders;
  for (const char* name : {"text_encoder", "text_encoder_2"})
    if (checkpoint.lists(name)) encoders.push_back(&checkpoint.component(name));
  const io::Component& unet = checkpoint.component("unet");
  check_text_width(unet, encoders);
  const auto config = Unet2DConditionConfig::from(unet.config);
  check_latent_channels(unet, {config.in_channels, config.out_channels},
                        checkpoint.component("vae"));
}

Capabilities capabilities_of(const UnetFacts& facts) {
  Capabilities can;
  can.native_inpaint = facts.native_inpaint;
  // Such a network has nothing to take for mask and picture without a mask.
  can.image_to_image = !facts.native_inpaint;
  // Refiners finish pictures of another model.
  can.text_to_image = !facts.native_inpaint && !facts.aesthetic_score;
  can.distilled_guidance = facts.distilled_guidance;
  can.guidance = !facts.distilled_guidance;
  can.negative_prompt = can.guidance;
  can.tiling = true;
  can.controlnet = !facts.aesthetic_score;
  can.lora = true;
  return can;
}

/// What LoRA files call the parts of Stable Diffusion: kohya's names are with underscores, those of
/// diffusers, PEFT and ComfyUI with dots; some have the blocks of the original code.
std::vector<lora::ComponentNames> lora_names(const Unet2DConditionConfig& unet) {
  const std::vector<io::RenameRule> text = {{"text_model.", {""}}};
  const ldm::UnetLayout layout = {.levels = static_cast<int64_t>(unet.down_blocks.size()),
                                  .layers_per_block = unet.down_blocks.front().layers};
  return {{"unet", {"lora_unet_", "unet.", "diffusion_model."}, ldm::unet_rules(layout)},
          {"text_encoder", {"lora_te_", "lora_te1_", "text_encoder."}, text},
          {"text_encoder_2", {"lora_te2_", "text_encoder_2."}, text}};
}

}  // namespace

ModelInfo describe_unet_model(const io::Checkpoint& checkpoint, const LoadOptions& options,
                              std::string_view family, std::span<const UnetVariant> variants) {
  check_fit(checkpoint);
  const UnetFacts facts = UnetFacts::of(checkpoint, options);
  const UnetVariant& variant = find_variant(facts, variants, options);
  const bool single_file = checkpoint.layout() == io::CheckpointLayout::SingleFile;
  const bool told = single_file && variant.sample_size > 0;
  ModelInfo info =
      describe_model(checkpoint, options,
                     {.family = family,
                      .id = variant.row.id,
                      .text_to_image = variant.text_to_image,
                      .image_to_image = variant.image_to_image,
                      .inpaint = variant.inpaint,
                      .default_cells = told ? variant.sample_size : facts.sample_size,
                      .looks_like = calls_itself(facts, variant) ? "" : variant.looks_like});
  info.capabilities = capabilities_of(facts);
  if (!single_file) return info;
  if (!variant.scheduler_class.empty()) info.scheduler.class_name = variant.scheduler_class;
  if (!variant.spacing.empty()) info.scheduler.timestep_spacing = std::string(variant.spacing);
  return info;
}

std::unique_ptr<ImageModel> make_unet_model(Sealed sealed, const io::Checkpoint& checkpoint,
                                            const LoadOptions& options, LatentModelParts parts) {
  const io::Component& unet = checkpoint.component("unet", "UNet2DConditionModel");
  parts.lora_names = lora_names(Unet2DConditionConfig::from(unet.config));
  parts.denoiser = std::make_unique<UnetDenoiser>(unet, options);
  if (!parts.autoencoder) parts.autoencoder = load_autoencoder(checkpoint, options);
  return make_latent_model(sealed, checkpoint, options, std::move(parts));
}

}  // namespace sdrbee
