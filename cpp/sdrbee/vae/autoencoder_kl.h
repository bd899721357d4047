// The variational autoencoder of latent diffusion (Rombach et al. 2022, arXiv:2112.10752).
#pragma once

#include <optional>

#include "sdrbee/vae/coder.h"

namespace sdrbee::vae {

/// A Gaussian for each latent value. Both [B, latent_channels, h, w], unscaled.
struct Posterior {
  Tensor mean;
  Tensor logvar;  ///< clamped to -30..20

  /// mean + exp(logvar / 2) * noise; `noise` is standard normal, of the shape of mean.
  Tensor sample(const Tensor& noise) const;
};

/// Which networks of an autoencoder are wanted.
enum class AutoencoderHalf { Both, Encoder, Decoder };

/// AutoencoderKL of diffusers. Inputs may be of any float dtype and on any device; results are of
/// the dtype and on the device that the weights were taken in. Latents are those of the network:
/// scaling_factor and shift_factor are for the caller to apply.
class AutoencoderKl {
 public:
  /// Throws CheckpointError for missing or wrong weights. What isn't wanted must not be called.
  AutoencoderKl(const io::WeightScope& scope, const AutoencoderKlConfig& config,
                AutoencoderHalf half = AutoencoderHalf::Both);

  /// `picture` [B, in_channels, H, W] in -1..1, H and W multiples of config().downscale().
  /// With `tile` the network is computed in tiles of at most so many pixels a side, where each of
  /// its parts counts those of its lower resolution: the same result up to rounding, in a part of
  /// the memory and about three times the time.
  Posterior encode(const Tensor& picture, const std::optional<int64_t>& tile = std::nullopt) const;

  /// `latents` [B, latent_channels, h, w] -> [B, out_channels, H, W], about -1..1.
  /// With `tile` as in encode().
  Tensor decode(const Tensor& latents, const std::optional<int64_t>& tile = std::nullopt) const;

  const AutoencoderKlConfig& config() const { return config_; }

 private:
  AutoencoderKlConfig config_;
  at::TensorOptions options_;
  std::optional<Encoder> encoder_;
  std::optional<Decoder> decoder_;
  std::optional<nn::Conv2d> quant_conv_;
  std::optional<nn::Conv2d> post_quant_conv_;
};

}  // namespace sdrbee::vae
