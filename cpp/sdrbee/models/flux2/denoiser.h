// FLUX.2's network behind the Denoiser interface: tokens, positions, rounding of the timestep.
#pragma once

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/flux2/transformer.h"

namespace sdrbee::flux2 {

/// The network of one checkpoint. A reference picture's tokens follow those of the latents.
class Flux2Denoiser final : public Denoiser {
 public:
  /// Throws CheckpointError for missing or wrong weights, UnsupportedModel for other networks.
  Flux2Denoiser(const io::Component& component, const LoadOptions& options);

  Tensor predict(const Tensor& latents, const Tensor& timesteps,
                 const Conditioning& conditioning) override;

 private:
  LazyNetwork<Transformer> network_;
  Dtype dtype_;
};

}  // namespace sdrbee::flux2
