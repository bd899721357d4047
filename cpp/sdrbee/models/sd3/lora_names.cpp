#include "sdrbee/models/sd3/lora_names.h"

#include "sdrbee/models/common/transformer_lora_names.h"
#include "sdrbee/models/sd3/rename_table.h"

namespace sdrbee::sd3 {

std::vector<lora::ComponentNames> lora_names(const TransformerConfig& config) {
  return {transformer_lora_names(transformer_rules(config.num_layers)),
          clip_lora_names("text_encoder", {"lora_te1_", "text_encoders.clip_l.transformer."}),
          clip_lora_names("text_encoder_2", {"lora_te2_", "text_encoders.clip_g.transformer."}),
          t5_lora_names("text_encoder_3")};
}

}  // namespace sdrbee::sd3
