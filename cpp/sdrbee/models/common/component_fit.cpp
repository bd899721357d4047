#include "sdrbee/models/common/component_fit.h"

#include <string>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/unet_2d_condition_config.h"
#include "sdrbee/text/clip_encoder.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee {
namespace {

constexpr int64_t kPictureChannels = 3;

void require_equal(const io::Component& part, const char* field, int64_t actual, int64_t expected,
                   const std::string& reason) {
  if (actual == expected) return;
  throw CheckpointError(message("[", part.config.origin(), "] '", field, "': expected ", expected,
                                ", ", reason, ", but got ", actual,
                                "; these components are not of one model"));
}

std::string field_of(const io::Component& part, const char* field) {
  return message("the '", field, "' of ", part.config.origin());
}

}  // namespace

void check_text_width(const io::Component& unet, std::span<const io::Component* const> encoders) {
  int64_t width = 0;
  std::string source;
  for (const io::Component* encoder : encoders) {
    width += text::ClipTextConfig::from(encoder->config).hidden_size;
    source += (source.empty() ? "" : " plus ") + field_of(*encoder, "hidden_size");
  }
  const auto config = Unet2DConditionConfig::from(unet.config);
  const auto check = [&](const UnetBlockConfig& block) {
    if (block.has_attention())
      require_equal(unet, "cross_attention_dim", block.cross_attention_dim, width, source);
  };
  for (const UnetBlockConfig& block : config.down_blocks) check(block);
  for (const UnetBlockConfig& block : config.up_blocks) check(block);
  if (config.mid_block) check(*config.mid_block);
}

void check_latent_channels(const io::Component& unet, const io::Component& vae) {
  const auto network = Unet2DConditionConfig::from(unet.config);
  const auto autoencoder = vae::AutoencoderKlConfig::from(vae.config);
  const std::string latents = field_of(vae, "latent_channels");
  if (network.in_channels != 2 * autoencoder.latent_channels + 1)
    require_equal(unet, "in_channels", network.in_channels, autoencoder.latent_channels, latents);
  require_equal(unet, "out_channels", network.out_channels, autoencoder.latent_channels, latents);
  const std::string colours = "red, green and blue";
  require_equal(vae, "in_channels", autoencoder.in_channels, kPictureChannels, colours);
  require_equal(vae, "out_channels", autoencoder.out_channels, kPictureChannels, colours);
}

}  // namespace sdrbee
