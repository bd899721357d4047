#include "sdrbee/models/sd3/transformer_config.h"

namespace sdrbee::sd3 {

TransformerConfig TransformerConfig::from(const io::Config& config) {
  TransformerConfig result;
  result.sample_size = config.positive_or("sample_size", result.sample_size);
  result.patch_size = config.positive_or("patch_size", result.patch_size);
  result.in_channels = config.positive_or("in_channels", result.in_channels);
  result.out_channels = config.positive_or("out_channels", result.out_channels);
  result.num_layers = config.positive_or("num_layers", result.num_layers);
  result.attention_head_dim = config.positive_or("attention_head_dim", result.attention_head_dim);
  result.num_attention_heads =
      config.positive_or("num_attention_heads", result.num_attention_heads);
  result.joint_attention_dim =
      config.positive_or("joint_attention_dim", result.joint_attention_dim);
  result.pooled_projection_dim =
      config.positive_or("pooled_projection_dim", result.pooled_projection_dim);
  result.pos_embed_max_size = config.positive_or("pos_embed_max_size", result.pos_embed_max_size);
  result.dual_attention_layers = config.int64s_or("dual_attention_layers", {});
  for (const int64_t layer : result.dual_attention_layers)
    if (layer < 0 || layer >= result.num_layers)
      config.reject("dual_attention_layers", "layers below num_layers");
  if (config.int64_or("caption_projection_dim", result.width()) != result.width())
    config.reject("caption_projection_dim", "attention_head_dim times num_attention_heads");
  result.qk_norm = config.has("qk_norm");
  if (result.qk_norm) config.require("qk_norm", "rms_norm");
  return result;
}

}  // namespace sdrbee::sd3
