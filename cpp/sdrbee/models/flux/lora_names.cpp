#include "sdrbee/models/flux/lora_names.h"

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/transformer_lora_names.h"
#include "sdrbee/models/flux/rename_table.h"

namespace sdrbee::flux {
namespace {

/// The layers that XLabs' processors of attention change: 1 is the picture's, 2 the text's.
/// https://github.com/XLabs-AI/x-flux/blob/main/src/flux/modules/layers.py
void add_xlabs(std::vector<io::RenameRule>& rules, const TransformerConfig& config) {
  constexpr auto kSplit = io::RenameVerb::Split;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string from = message("double_blocks.", i, ".");
    const std::string to = message("transformer_blocks.", i, ".attn.");
    rules.push_back({from + "qkv1.", {to + "to_q.", to + "to_k.", to + "to_v."}, kSplit});
    rules.push_back(
        {from + "qkv2.", {to + "add_q_proj.", to + "add_k_proj.", to + "add_v_proj."}, kSplit});
    rules.push_back({from + "proj1.", {to + "to_out.0."}});
    rules.push_back({from + "proj2.", {to + "to_add_out."}});
  }
  for (int64_t i = 0; i < config.num_single_layers; ++i) {
    const std::string from = message("single_blocks.", i, ".");
    const std::string to = message("single_transformer_blocks.", i, ".");
    rules.push_back(
        {from + "qkv.", {to + "attn.to_q.", to + "attn.to_k.", to + "attn.to_v."}, kSplit});
    rules.push_back({from + "proj.", {to + "proj_out."}});
  }
}

}  // namespace

std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config) {
  std::vector<io::RenameRule> rules =
      transformer_rules(config.num_layers, config.num_single_layers);
  add_xlabs(rules, config);
  return {transformer_lora_names(std::move(rules)),
          clip_lora_names("text_encoder",
                          {"lora_te_", "lora_te1_", "text_encoders.clip_l.transformer."}),
          t5_lora_names("text_encoder_2")};
}

}  // namespace sdrbee::flux
