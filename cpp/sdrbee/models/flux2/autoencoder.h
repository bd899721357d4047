// FLUX.2's autoencoder behind the Autoencoder interface: squares of 2x2 latent cells are one, and
// channels are normalised by statistics that were gathered in training.
#pragma once

#include "sdrbee/models/common/kl_autoencoder.h"

namespace sdrbee::flux2 {

/// Cells of the network inside that make a latent cell, on a side.
inline constexpr int64_t kPatch = 2;

/// AutoencoderKLFlux2 of one checkpoint. Latents are (packed - bn.running_mean) /
/// sqrt(bn.running_var + batch_norm_eps), of 4 * latent_channels channels.
class Flux2Autoencoder final : public Autoencoder {
 public:
  Flux2Autoencoder(const io::Component& component, const LoadOptions& options);

  LatentPosterior encode(const Tensor& picture) override;
  Tensor decode(const Tensor& latents) override;
  std::vector<std::string> take_warnings() override { return inner_.take_warnings(); }

 private:
  KlAutoencoder inner_;
  Tensor mean_;       // [1, 4 * latent_channels, 1, 1] fp32
  Tensor deviation_;  // the same
};

/// [B, C, h, w] -> [B, C*4, h/2, w/2]; h and w are even.
Tensor pack(const Tensor& latents);

/// The inverse: [B, C*4, h, w] -> [B, C, h*2, w*2].
Tensor unpack(const Tensor& packed);

}  // namespace sdrbee::flux2
