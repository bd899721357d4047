// Z-Image's network behind the Denoiser interface: its clock runs the other way round.
#pragma once

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/z_image/transformer.h"

namespace sdrbee::z_image {

/// The network of one checkpoint. Rows whose texts fill up to different numbers of tokens are
/// evaluated one number after the other.
class ZImageDenoiser final : public Denoiser {
 public:
  /// Throws CheckpointError for missing or wrong weights, UnsupportedModel for other networks.
  ZImageDenoiser(const io::Component& component, const LoadOptions& options);

  Tensor predict(const Tensor& latents, const Tensor& timesteps,
                 const Conditioning& conditioning) override;

 private:
  LazyNetwork<Transformer> network_;
};

}  // namespace sdrbee::z_image
