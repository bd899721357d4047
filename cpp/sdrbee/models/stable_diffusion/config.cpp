#include "sdrbee/models/stable_diffusion/config.h"

#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee::stable_diffusion {
namespace {

constexpr int64_t kClipLWidth = 768;
constexpr int64_t kOpenClipHWidth = 1024;

std::string variant_of(const io::Checkpoint& checkpoint) {
  const int64_t width = checkpoint.component("unet").config.int64_or("cross_attention_dim", 1280);
  if (width == kClipLWidth) return "v1-5";
  if (width != kOpenClipHWidth) return "custom";
  const std::string prediction =
      checkpoint.component("scheduler").config.string_or("prediction_type", "epsilon");
  return prediction == "v_prediction" ? "v2-1" : "v2-1-base";
}

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

}  // namespace

ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  const io::Config& unet = checkpoint.component("unet").config;
  const auto vae = vae::AutoencoderKlConfig::from(checkpoint.component("vae").config);
  ModelInfo info;
  info.family = "stable_diffusion";
  info.variant = variant_of(checkpoint);
  info.source = checkpoint.path().string();
  info.text_to_image = kTextToImage;
  info.image_to_image = kImageToImage;
  info.inpaint = kInpaint;
  info.latent_channels = vae.latent_channels;
  info.latent_downscale = vae.downscale();
  info.sizes.multiple = info.latent_downscale;
  info.sizes.minimum = info.latent_downscale;
  const int64_t side = unet.int64s_or("sample_size", {64}).front() * info.latent_downscale;
  info.default_size = {side, side};
  info.device = options.device.str();
  info.dtype = dtype_name(options.dtype);
  apply_folder_defaults(checkpoint, info);
  return info;
}

}  // namespace sdrbee::stable_diffusion
