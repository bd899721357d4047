#include "sdrbee/vae/autoencoder_kl.h"

#include "sdrbee/core/check.h"

namespace sdrbee::vae {
namespace {

// https://github.com/CompVis/latent-diffusion/blob/main/ldm/modules/distributions/distributions.py
constexpr double kMinLogvar = -30.0;
constexpr double kMaxLogvar = 20.0;

}  // namespace

Tensor Posterior::sample(const Tensor& noise) const {
  return mean.add(logvar.mul(0.5).exp_().mul_(noise.to(mean.options())));
}

AutoencoderKl::AutoencoderKl(const io::WeightScope& scope, const AutoencoderKlConfig& config,
                             AutoencoderHalf half)
    : config_(config), options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())) {
  const int64_t latents = config.latent_channels;
  if (half != AutoencoderHalf::Decoder) {
    encoder_.emplace(scope / "encoder", config);
    if (config.use_quant_conv)
      quant_conv_.emplace(scope / "quant_conv", 2 * latents, 2 * latents, 1);
  }
  if (half != AutoencoderHalf::Encoder) {
    decoder_.emplace(scope / "decoder", config);
    if (config.use_post_quant_conv)
      post_quant_conv_.emplace(scope / "post_quant_conv", latents, latents, 1);
  }
}

Posterior AutoencoderKl::encode(const Tensor& picture, const std::optional<int64_t>& tile) const {
  SDRBEE_CHECK_SHAPE(picture, {-1, config_.in_channels, -1, -1});
  SDRBEE_CHECK(picture.size(2) % config_.downscale() == 0);
  SDRBEE_CHECK(picture.size(3) % config_.downscale() == 0);
  SDRBEE_CHECK(encoder_.has_value());
  const Tensor encoded = (*encoder_)(picture.to(options_), tile);
  const Tensor moments = quant_conv_ ? (*quant_conv_)(encoded) : encoded;
  const auto halves = moments.chunk(2, 1);
  return {.mean = halves[0], .logvar = halves[1].clamp(kMinLogvar, kMaxLogvar)};
}

Tensor AutoencoderKl::decode(const Tensor& latents, const std::optional<int64_t>& tile) const {
  SDRBEE_CHECK_SHAPE(latents, {-1, config_.latent_channels, -1, -1});
  const Tensor input = latents.to(options_);
  SDRBEE_CHECK(decoder_.has_value());
  return (*decoder_)(post_quant_conv_ ? (*post_quant_conv_)(input) : input, tile);
}

}  // namespace sdrbee::vae
