// What LoRA files call the layers of FLUX.1.
#pragma once

#include <vector>

#include "sdrbee/lora/lora_targets.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {

/// The transformer under the names of diffusers, of Black Forest Labs (as kohya, fal and ComfyUI
/// have them) and of XLabs, and both text encoders.
std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config);

}  // namespace sdrbee::flux
