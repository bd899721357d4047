// The configuration of ControlNetModel and ControlNetUnionModel.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sdrbee/models/common/unet_2d_condition_config.h"

namespace sdrbee::control {

/// What a ControlNet for several types of pictures has beside the usual parts.
struct TypeFusionConfig {
  int64_t types = 6;         ///< num_control_type
  int64_t channels = 320;    ///< num_trans_channel
  int64_t heads = 8;         ///< num_trans_head
  int64_t layers = 1;        ///< num_trans_layer
  int64_t time_width = 256;  ///< addition_time_embed_dim
};

/// The sizes of a ControlNet; keys and defaults are those of diffusers.
struct ControlNetConfig {
  Unet2DConditionConfig unet;           ///< up_blocks are not used
  int64_t image_channels = 3;           ///< conditioning_channels
  std::vector<int64_t> image_widths;    ///< conditioning_embedding_out_channels
  bool image_is_bgr = false;            ///< controlnet_conditioning_channel_order is "bgr"
  bool global_pool_conditions = false;  ///< residuals are averaged over the picture
  std::optional<TypeFusionConfig> fusion = std::nullopt;  ///< of a ControlNetUnionModel

  /// Reads config.json. Throws CheckpointError for malformed values and UnsupportedModel, naming
  /// key and value, for options that ControlNets for Stable Diffusion do not use.
  static ControlNetConfig from(const io::Config& config);
};

/// Which models a UNet belongs to, for messages, by the channels of their texts.
std::string models_of(const Unet2DConditionConfig& unet);

/// Throws InvalidRequest, saying what the ControlNet is for, when it does not fit beside the UNet:
/// its widths, depths or text are others. `origin` names the ControlNet.
void check_fit(const ControlNetConfig& control, const Unet2DConditionConfig& unet,
               const std::string& origin);

}  // namespace sdrbee::control
