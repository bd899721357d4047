// AutoencoderKL behind the Autoencoder interface: scaling factors and dtypes.
#pragma once

#include "sdrbee/models/registry.h"
#include "sdrbee/vae/autoencoder_kl.h"

namespace sdrbee {

/// The autoencoder of one checkpoint. Its latents are in the denoiser's scale:
/// (latents - shift_factor) * scaling_factor, or with statistics of the latents' channels
/// (latents - latents_mean) * scaling_factor / latents_std.
class KlAutoencoder final : public Autoencoder {
 public:
  KlAutoencoder(const io::Component& component, const LoadOptions& options);

  LatentPosterior encode(const Tensor& picture) override;
  Tensor decode(const Tensor& latents) override;

 private:
  vae::AutoencoderKl network_;
  double scale_;
  Tensor shift_;      // [1, C or 1, 1, 1]
  Tensor deviation_;  // [1, C or 1, 1, 1]
};

}  // namespace sdrbee
