#include "sdrbee/models/common/describe_model.h"

#include <filesystem>
#include <utility>

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

/// Autoencoders of different families may have the same shapes; folders tell their scales.
void warn_of_other_latents(const io::Checkpoint& checkpoint, ModelInfo& info) {
  const io::Config* own = checkpoint.replaced("vae");
  if (own == nullptr) return;
  const io::Config& given = checkpoint.component("vae").config;
  const vae::AutoencoderKlConfig defaults;
  for (const auto& [field, fallback] :
       {std::pair{"scaling_factor", defaults.scaling_factor}, {"shift_factor", 0.0}}) {
    const double expected = own->double_or(field, fallback);
    if (const double actual = given.double_or(field, fallback); actual != expected)
      info.warnings.push_back(message("[", given.origin(), "] '", field, "': expected ", expected,
                                      ", as the model's own autoencoder has, but got ", actual,
                                      "; autoencoders of other families have the same shapes but ",
                                      "make other pictures of these latents"));
  }
}

}  // namespace

ModelInfo describe_model(const io::Checkpoint& checkpoint, const LoadOptions& options,
                         const ModelVariant& variant) {
  const auto vae = vae::AutoencoderKlConfig::from(checkpoint.component("vae").config);
  ModelInfo info;
  info.family = variant.family;
  info.variant = variant.id;
  info.source = checkpoint.path().string();
  for (const io::ComponentOverride& one : checkpoint.overrides())
    info.components[one.name] = one.path.string();
  info.text_to_image = variant.text_to_image;
  info.image_to_image = variant.image_to_image;
  info.inpaint = variant.inpaint;
  info.latent_channels = vae.latent_channels;
  info.latent_downscale = vae.downscale();
  info.sizes.multiple = info.latent_downscale * variant.cells_per_token;
  info.sizes.minimum = info.sizes.multiple;
  const int64_t side = variant.default_cells * info.latent_downscale;
  info.default_size = {side, side};
  info.scheduler = read_scheduler(checkpoint, options);
  info.device = options.device.str();
  info.dtype = dtype_name(options.dtype);
  const bool folder = checkpoint.layout() == io::CheckpointLayout::DiffusersFolder;
  if (!(folder && variant.folders_tell) && options.variant.empty() && !variant.looks_like.empty())
    info.warnings.push_back(message("the ", folder ? "files" : "file", " can't tell ", variant.id,
                                    " from ", variant.looks_like, "; it is taken for ", variant.id,
                                    " (load with variant='", variant.id,
                                    "', or another one, to say which it is)"));
  warn_of_other_latents(checkpoint, info);
  apply_folder_defaults(checkpoint, info);
  return info;
}

sampling::SchedulerConfig read_scheduler(const io::Checkpoint& checkpoint,
                                         const LoadOptions& options) {
  const io::Component& component = checkpoint.component("scheduler");
  auto config = sampling::SchedulerConfig::from_json(component.config);
  if (!component.class_name.empty()) config.class_name = component.class_name;
  if (!options.prediction.empty()) config.prediction_type = options.prediction;
  return config;
}

}  // namespace sdrbee
