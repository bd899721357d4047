#include "sdrbee/models/flux2/lora_names.h"

#include <utility>

#include "sdrbee/models/common/transformer_lora_names.h"
#include "sdrbee/models/flux2/rename_table.h"

namespace sdrbee::flux2 {

std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config) {
  std::vector<io::RenameRule> rules = transformer_rules(config);
  // Some files have the name cut short.
  // https://github.com/huggingface/diffusers/blob/main/src/diffusers/loaders/lora_conversion_utils.py
  rules.push_back({"sformer_blocks.", {"transformer_blocks."}});
  return {transformer_lora_names(std::move(rules)), qwen_lora_names("text_encoder")};
}

}  // namespace sdrbee::flux2
