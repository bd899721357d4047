// The denoising UNet of Stable Diffusion 1.x, 2.x and XL (Rombach et al. 2022, arXiv:2112.10752;
// Podell et al. 2023, arXiv:2307.01952).
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/models/common/unet_encoder.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee {

/// UNet2DConditionModel of diffusers. Inputs may be of any float dtype and on any device.
class Unet2DCondition {
 public:
  /// Throws CheckpointError for missing or wrong weights.
  Unet2DCondition(const io::WeightScope& scope, const Unet2DConditionConfig& config);

  /// `latents` [B, in_channels, h, w] of any size, `timesteps` [B] -> [B, out_channels, h, w] in
  /// the dtype and on the device that the weights were taken in. `added` is what control networks
  /// add on the way.
  Tensor operator()(const Tensor& latents, const Tensor& timesteps, const Unet2DInputs& inputs,
                    const std::optional<ControlResiduals>& added = std::nullopt) const;

  const Unet2DConditionConfig& config() const { return encoder_.config(); }

 private:
  void take_up_blocks(const io::WeightScope& scope);

  UnetEncoder encoder_;
  std::vector<UnetUpBlock> up_blocks_;
  nn::GroupNorm conv_norm_out_;
  nn::Conv2d conv_out_;
};

/// The embedding of a guidance scale that distilled models take: `scales` [B] -> fp32 [B, width].
/// Of scale - 1, in thousands, with shift 1 of the frequencies, sines first.
/// Meng et al. 2022, arXiv:2210.03142; as in diffusers' get_guidance_scale_embedding.
Tensor guidance_embedding(const Tensor& scales, int64_t width);

}  // namespace sdrbee
