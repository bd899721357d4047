// ControlNet for Stable Diffusion 1.x, 2.x and XL (Zhang et al. 2023, arXiv:2302.05543).
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/control/controlnet_config.h"
#include "sdrbee/control/image_embedding.h"
#include "sdrbee/control/type_fusion.h"
#include "sdrbee/models/common/unet_encoder.h"
#include "sdrbee/models/control_network.h"
#include "sdrbee/nn/conv2d.h"

namespace sdrbee::control {

/// ControlNetModel and ControlNetUnionModel of diffusers: a copy of a UNet's first half that is
/// shown an image, with a 1x1 convolution behind each output.
class ControlNet {
 public:
  /// Throws CheckpointError for missing or wrong weights.
  ControlNet(const io::WeightScope& scope, const ControlNetConfig& config);

  /// See ControlNetwork::residuals; in the dtype and on the device of the weights.
  ControlResiduals operator()(const Tensor& latents, const Tensor& timesteps, Unet2DInputs inputs,
                              const ControlInput& control) const;

 private:
  UnetEncoder encoder_;
  ImageEmbedding controlnet_cond_embedding_;
  std::optional<TypeFusion> fusion_;
  std::vector<nn::Conv2d> controlnet_down_blocks_;
  nn::Conv2d controlnet_mid_block_;
  bool image_is_bgr_;
  bool global_pool_conditions_;
};

}  // namespace sdrbee::control
