// What LoRA files call the layers of Stable Diffusion 3.
#pragma once

#include <vector>

#include "sdrbee/lora/lora_targets.h"
#include "sdrbee/models/sd3/transformer_config.h"

namespace sdrbee::sd3 {

/// The transformer under the names of diffusers and of Stability AI (as kohya and ComfyUI have
/// them), and the three text encoders.
std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config);

}  // namespace sdrbee::sd3
