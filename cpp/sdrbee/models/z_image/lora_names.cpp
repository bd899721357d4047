#include "sdrbee/models/z_image/lora_names.h"

#include "sdrbee/models/common/transformer_lora_names.h"
#include "sdrbee/models/z_image/rename_table.h"

namespace sdrbee::z_image {

std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config) {
  return {transformer_lora_names(transformer_rules(config)), qwen_lora_names("text_encoder")};
}

}  // namespace sdrbee::z_image
