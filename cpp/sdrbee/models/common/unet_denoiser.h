// UNet2DConditionModel behind the Denoiser interface.
#pragma once

#include "sdrbee/models/common/lazy_network.h"
#include "sdrbee/models/common/unet_2d_condition.h"
#include "sdrbee/models/registry.h"

namespace sdrbee {

/// The UNet of one checkpoint; it takes from a Conditioning what it was built for.
class UnetDenoiser final : public Denoiser {
 public:
  /// Throws CheckpointError for missing or wrong weights, UnsupportedModel for other networks.
  UnetDenoiser(const io::Component& component, const LoadOptions& options);

  Tensor predict(const Tensor& latents, const Tensor& timesteps,
                 const Conditioning& conditioning) override;

 private:
  LazyNetwork<Unet2DCondition> network_;
};

/// What UNets and their ControlNets take from a Conditioning alike.
Unet2DInputs unet_inputs(const Conditioning& conditioning);

}  // namespace sdrbee
