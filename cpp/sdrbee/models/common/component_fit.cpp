#include "sdrbee/models/common/component_fit.h"

#include <string>
#include <vector>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/unet_2d_condition_config.h"
#include "sdrbee/text/clip_encoder.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee {
namespace {

constexpr int64_t kPictureChannels = 3;

std::string field_of(const io::Component& part, const char* field) {
  return message("the '", field, "' of ", part.config.origin());
}

std::string mismatch(const io::Component& part, const char* field, const std::string& expected,
                     const std::string& reason, int64_t actual) {
  return message("[", part.config.origin(), "] '", field, "': expected ", expected, ", ", reason,
                 ", but got ", actual, "; these components are not of one model");
}

}  // namespace

void require_equal(const io::Component& part, const char* field, int64_t actual, int64_t expected,
                   const std::string& reason) {
  if (actual != expected)
    throw CheckpointError(mismatch(part, field, std::to_string(expected), reason, actual));
}

void require_at_least(const io::Component& part, const char* field, int64_t actual, int64_t least,
                      const std::string& reason) {
  if (actual < least)
    throw CheckpointError(mismatch(part, field, message("at least ", least), reason, actual));
}

std::string summed_fields(const char* field,
                          std::span<const std::pair<const io::Component*, int64_t>> parts) {
  if (parts.size() == 1) return field_of(*parts.front().first, field);
  std::string text;
  for (const auto& [part, value] : parts)
    text += message(text.empty() ? "" : " plus ", field_of(*part, field), " (", value, ")");
  return text;
}

void check_encoder_order(const io::Component& first, const io::Component& second) {
  const int64_t narrow = text::ClipTextConfig::from(first.config).hidden_size;
  const int64_t wide = text::ClipTextConfig::from(second.config).hidden_size;
  if (narrow > wide)
    throw CheckpointError(message("[", first.config.origin(), "] 'hidden_size': expected at most ",
                                  wide, ", ", field_of(second, "hidden_size"), ", but got ", narrow,
                                  ": is ", second.name, " in the place of ", first.name, "?"));
}

void check_text_width(const io::Component& unet, std::span<const io::Component* const> encoders) {
  int64_t width = 0;
  std::vector<std::pair<const io::Component*, int64_t>> widths;
  for (const io::Component* encoder : encoders) {
    widths.emplace_back(encoder, text::ClipTextConfig::from(encoder->config).hidden_size);
    width += widths.back().second;
  }
  if (encoders.size() == 2) check_encoder_order(*encoders[0], *encoders[1]);
  const std::string source = summed_fields("hidden_size", widths);
  const auto config = Unet2DConditionConfig::from(unet.config);
  const auto check = [&](const UnetBlockConfig& block) {
    if (block.has_attention())
      require_equal(unet, "cross_attention_dim", block.cross_attention_dim, width, source);
  };
  for (const UnetBlockConfig& block : config.down_blocks) check(block);
  for (const UnetBlockConfig& block : config.up_blocks) check(block);
  if (config.mid_block) check(*config.mid_block);
}

void check_latent_channels(const io::Component& network, const NetworkChannels& channels,
                           const io::Component& vae) {
  const auto autoencoder = vae::AutoencoderKlConfig::from(vae.config);
  const std::string latents = field_of(vae, "latent_channels");
  if (channels.in != 2 * autoencoder.latent_channels + 1)
    require_equal(network, "in_channels", channels.in, autoencoder.latent_channels, latents);
  require_equal(network, "out_channels", channels.out, autoencoder.latent_channels, latents);
  const std::string colours = "red, green and blue";
  require_equal(vae, "in_channels", autoencoder.in_channels, kPictureChannels, colours);
  require_equal(vae, "out_channels", autoencoder.out_channels, kPictureChannels, colours);
}

}  // namespace sdrbee
