// What LoRA files call the layers of FLUX.2.
#pragma once

#include <vector>

#include "sdrbee/lora/lora_targets.h"
#include "sdrbee/models/flux2/transformer_config.h"

namespace sdrbee::flux2 {

/// The transformer under the names of diffusers and of Black Forest Labs (as kohya and ComfyUI have
/// them), and the text encoder.
std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config);

}  // namespace sdrbee::flux2
