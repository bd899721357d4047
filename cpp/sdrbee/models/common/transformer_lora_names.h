// What LoRA files call the components of models with a transformer.
#pragma once

#include <string>
#include <vector>

#include "sdrbee/lora/lora_targets.h"

namespace sdrbee {

/// The component "transformer"; `rules` are for the names of its original code.
lora::ComponentNames transformer_lora_names(std::vector<io::RenameRule> rules);

/// A CLIP text encoder, with what stands before its layers in files that are not of diffusers.
lora::ComponentNames clip_lora_names(const std::string& component,
                                     std::vector<std::string> prefixes);

/// A T5 encoder, the third text encoder for kohya's and ComfyUI's files, whichever it is here.
lora::ComponentNames t5_lora_names(const std::string& component);

/// A Qwen3 text encoder of any size.
lora::ComponentNames qwen_lora_names(const std::string& component);

}  // namespace sdrbee
