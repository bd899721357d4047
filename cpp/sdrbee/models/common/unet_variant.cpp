#include "sdrbee/models/common/unet_variant.h"

#include <algorithm>
#include <filesystem>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee {
namespace {

void apply_folder_defaults(const io::Checkpoint& checkpoint, ModelInfo& info) {
  const auto file = checkpoint.path() / "sdrbee.json";
  if (!std::filesystem::is_regular_file(file)) return;
  const io::Config defaults = io::Config::read(file).object_or_empty("defaults");
  for (ModeDefaults* mode : {&info.text_to_image, &info.image_to_image, &info.inpaint}) {
    mode->steps = defaults.int64_or("steps", mode->steps);
    mode->guidance_scale = defaults.double_or("guidance_scale", mode->guidance_scale);
  }
  info.default_size.width = defaults.int64_or("width", info.default_size.width);
  info.default_size.height = defaults.int64_or("height", info.default_size.height);
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
  return can;
}

}  // namespace

UnetFacts UnetFacts::of(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  const io::Config& unet = checkpoint.component("unet").config;
  const io::Component& scheduler = checkpoint.component("scheduler");
  const auto vae = vae::AutoencoderKlConfig::from(checkpoint.component("vae").config);
  UnetFacts facts;
  facts.context_width = unet.int64s_or("cross_attention_dim", {1280}).front();
  facts.sample_size = unet.int64s_or("sample_size", {64}).front();
  facts.native_inpaint =
      unet.int64_or("in_channels", vae.latent_channels) == 2 * vae.latent_channels + 1;
  facts.distilled_guidance = unet.has("time_cond_proj_dim");
  facts.aesthetic_score = checkpoint.index().bool_or("requires_aesthetics_score", false);
  facts.trailing = scheduler.config.string_or("timestep_spacing", "") == "trailing";
  facts.scheduler_class = scheduler.class_name;
  facts.prediction = options.prediction.empty()
                         ? scheduler.config.string_or("prediction_type", "epsilon")
                         : options.prediction;
  return facts;
}

const UnetVariant& find_variant(const UnetFacts& facts, std::span<const UnetVariant> variants,
                                const LoadOptions& options) {
  const auto found = std::find_if(variants.begin(), variants.end(), [&](const UnetVariant& one) {
    return options.variant.empty() ? one.matches(facts) : one.row.id == options.variant;
  });
  SDRBEE_CHECK(found != variants.end(), "no variant matches");
  return *found;
}

ModelInfo describe_unet_model(const io::Checkpoint& checkpoint, const LoadOptions& options,
                              const UnetFacts& facts, const UnetVariant& variant) {
  const auto vae = vae::AutoencoderKlConfig::from(checkpoint.component("vae").config);
  const bool single_file = checkpoint.layout() == io::CheckpointLayout::SingleFile;
  ModelInfo info;
  info.variant = variant.row.id;
  info.source = checkpoint.path().string();
  info.capabilities = capabilities_of(facts);
  info.text_to_image = variant.text_to_image;
  info.image_to_image = variant.image_to_image;
  info.inpaint = variant.inpaint;
  info.latent_channels = vae.latent_channels;
  info.latent_downscale = vae.downscale();
  info.sizes.multiple = info.latent_downscale;
  info.sizes.minimum = info.latent_downscale;
  const bool told = single_file && variant.sample_size > 0;
  const int64_t side = (told ? variant.sample_size : facts.sample_size) * info.latent_downscale;
  info.default_size = {side, side};
  info.device = options.device.str();
  info.dtype = dtype_name(options.dtype);
  if (single_file && options.variant.empty() && !variant.looks_like.empty())
    info.warnings.push_back(message("the file can't tell ", variant.row.id, " from ",
                                    variant.looks_like, "; it is taken for ", variant.row.id,
                                    " (load with variant='", variant.row.id,
                                    "', or another one, to say which it is)"));
  apply_folder_defaults(checkpoint, info);
  return info;
}

sampling::SchedulerConfig scheduler_of(const io::Checkpoint& checkpoint, const LoadOptions& options,
                                       const UnetVariant& variant) {
  const io::Component& component = checkpoint.component("scheduler");
  auto config = sampling::SchedulerConfig::from_json(component.config);
  if (!component.class_name.empty()) config.class_name = component.class_name;
  if (!options.prediction.empty()) config.prediction_type = options.prediction;
  if (checkpoint.layout() == io::CheckpointLayout::DiffusersFolder) return config;
  if (!variant.scheduler_class.empty()) config.class_name = variant.scheduler_class;
  if (!variant.spacing.empty()) config.timestep_spacing = std::string(variant.spacing);
  return config;
}

}  // namespace sdrbee
