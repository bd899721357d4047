#include "sdrbee/models/sd3/transformer_config.h"

namespace sdrbee::sd3 {
namespace {

int64_t positive(const io::Config& config, const char* key, int64_t fallback) {
  const int64_t value = config.int64_or(key, fallback);
  if (value < 1) config.reject(key, "a positive integer");
  return value;
}

}  // namespace

TransformerConfig TransformerConfig::from(const io::Config& config) {
  TransformerConfig result;
  result.sample_size = positive(config, "sample_size", result.sample_size);
  result.patch_size = positive(config, "patch_size", result.patch_size);
  result.in_channels = positive(config, "in_channels", result.in_channels);
  result.out_channels = positive(config, "out_channels", result.out_channels);
  result.num_layers = positive(config, "num_layers", result.num_layers);
  result.attention_head_dim = positive(config, "attention_head_dim", result.attention_head_dim);
  result.num_attention_heads = positive(config, "num_attention_heads", result.num_attention_heads);
  result.joint_attention_dim = positive(config, "joint_attention_dim", result.joint_attention_dim);
  result.pooled_projection_dim =
      positive(config, "pooled_projection_dim", result.pooled_projection_dim);
  result.pos_embed_max_size = positive(config, "pos_embed_max_size", result.pos_embed_max_size);
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
