// FLUX's network behind the Denoiser interface: packing, positions, rounding of the timestep.
#pragma once

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/flux/transformer.h"

namespace sdrbee::flux {

/// What networks of FLUX are given alike; `latents` [B, C, h, w] and `timesteps` [B] as for
/// Denoiser::predict, `dtype` that of the network.
TransformerInputs transformer_inputs(const Tensor& latents, const Tensor& timesteps,
                                     const Conditioning& conditioning, Dtype dtype);

/// The network of one checkpoint. Further channels of a Conditioning are packed with the latents, a
/// reference picture's tokens follow those of the latents.
class FluxDenoiser final : public Denoiser {
 public:
  /// Throws CheckpointError for missing or wrong weights, UnsupportedModel for other networks.
  FluxDenoiser(const io::Component& component, const LoadOptions& options);

  Tensor predict(const Tensor& latents, const Tensor& timesteps,
                 const Conditioning& conditioning) override;

 private:
  LazyNetwork<Transformer> network_;
  Dtype dtype_;
};

}  // namespace sdrbee::flux
