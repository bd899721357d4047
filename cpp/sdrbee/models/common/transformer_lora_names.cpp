#include "sdrbee/models/common/transformer_lora_names.h"

#include <utility>

namespace sdrbee {

lora::ComponentNames transformer_lora_names(std::vector<io::RenameRule> rules) {
  // kohya's, those of files with diffusers' names in kohya's form, diffusers', ComfyUI's, LyCORIS'.
  return {"transformer",
          {"lora_unet_", "lora_transformer_", "transformer.", "diffusion_model.", "lycoris_"},
          std::move(rules)};
}

lora::ComponentNames clip_lora_names(const std::string& component,
                                     std::vector<std::string> prefixes) {
  prefixes.push_back(component + ".");
  return {component, std::move(prefixes), {{"text_model.", {""}}}};
}

lora::ComponentNames t5_lora_names(const std::string& component) {
  return {component, {"lora_te3_", "text_encoders.t5xxl.transformer.", component + "."}};
}

lora::ComponentNames qwen_lora_names(const std::string& component) {
  return {component,
          {"text_encoders.qwen3_4b.transformer.", "text_encoders.qwen3_8b.transformer.",
           component + "."},
          {{"model.", {""}}}};
}

}  // namespace sdrbee
