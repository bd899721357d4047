// What LoRA files call the layers of Z-Image.
#pragma once

#include <vector>

#include "sdrbee/lora/lora_targets.h"
#include "sdrbee/models/z_image/transformer_config.h"

namespace sdrbee::z_image {

/// The transformer under the names of diffusers and of the original code (as kohya and ComfyUI have
/// them), and the text encoder.
std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config);

}  // namespace sdrbee::z_image
