#include "sdrbee/models/common/read_config.h"

#include <algorithm>
#include <string>
#include <vector>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

using io::Config;
using io::Json;
using io::WeightSource;

constexpr int64_t kMaxBlocks = 128;

std::string numbered(const char* before, int64_t index, const char* after) {
  return before + std::to_string(index) + after;
}

std::vector<int64_t> stored_shape(const WeightSource& weights, const std::string& name) {
  const auto info = weights.find(name);
  if (!info)
    throw CheckpointError(message("[", weights.origin(name), "] missing tensor '", name, "'"));
  return info->shape;
}

[[noreturn]] void fail_shape(const WeightSource& weights, const std::string& name,
                             const std::vector<int64_t>& shape) {
  throw CheckpointError(message("[", weights.origin(name), "] tensor '", name,
                                "': unexpected shape ", shape_text(shape)));
}

/// What the attention of one block looks like.
struct BlockAttention {
  int64_t layers = 0;          // transformer blocks in each attention; 0 without attention
  int64_t cross_channels = 0;  // channels of the text
  bool linear_projection = false;
};

BlockAttention block_attention(const WeightSource& weights, const std::string& block) {
  const std::string attention = block + "attentions.0.";
  BlockAttention found;
  found.layers = count_numbered(weights, attention + "transformer_blocks.", ".norm1.weight");
  if (found.layers == 0) return found;
  found.cross_channels = extent(weights, attention + "transformer_blocks.0.attn2.to_k.weight", 1);
  const auto projection = weights.find(attention + "proj_in.weight");
  found.linear_projection = projection && projection->shape.size() == 2;
  return found;
}

/// What differs between the resolutions of a UNet.
struct UnetLevels {
  std::vector<int64_t> channels;
  std::vector<int64_t> transformer_layers;
  std::vector<std::string> down_types;
  std::vector<std::string> up_types;
  BlockAttention any;
  bool attention_in_middle = false;
};

UnetLevels unet_levels(const WeightSource& weights) {
  UnetLevels levels;
  const int64_t count = count_numbered(weights, "down_blocks.", ".resnets.0.conv1.weight");
  for (int64_t level = 0; level < count; ++level) {
    const std::string down = numbered("down_blocks.", level, ".");
    const BlockAttention attention = block_attention(weights, down);
    if (attention.layers > 0) levels.any = attention;
    levels.channels.push_back(extent(weights, down + "resnets.0.conv1.weight", 0));
    levels.transformer_layers.push_back(std::max<int64_t>(1, attention.layers));
    levels.down_types.push_back(attention.layers > 0 ? "CrossAttnDownBlock2D" : "DownBlock2D");
    const std::string up = numbered("up_blocks.", level, ".");
    levels.up_types.push_back(block_attention(weights, up).layers > 0 ? "CrossAttnUpBlock2D"
                                                                      : "UpBlock2D");
  }
  // The middle block has the depth of the last level, which may have no attention to show it.
  const BlockAttention middle = block_attention(weights, "mid_block.");
  if (count > 0) levels.transformer_layers.back() = std::max<int64_t>(1, middle.layers);
  levels.attention_in_middle = middle.layers > 0;
  if (levels.any.layers == 0) levels.any = middle;
  return levels;
}

std::vector<int64_t> default_heads(const UnetLevels& levels) {
  std::vector<int64_t> heads;
  for (const int64_t width : levels.channels)
    heads.push_back(levels.any.linear_projection ? std::max<int64_t>(1, width / 64) : 8);
  return heads;
}

}  // namespace

int64_t extent(const WeightSource& weights, const std::string& name, size_t dimension) {
  const std::vector<int64_t> shape = stored_shape(weights, name);
  if (dimension >= shape.size()) fail_shape(weights, name, shape);
  return shape[dimension];
}

std::vector<int64_t> shape_of(const WeightSource& weights, const std::string& name,
                              size_t dimensions) {
  std::vector<int64_t> shape = stored_shape(weights, name);
  if (shape.size() != dimensions) fail_shape(weights, name, shape);
  return shape;
}

int64_t count_numbered(const WeightSource& weights, const std::string& before,
                       const std::string& after) {
  int64_t count = 0;
  while (count < kMaxBlocks && weights.find(before + std::to_string(count) + after)) ++count;
  return count;
}

ReadConfig read_unet_config(const WeightSource& weights) {
  const UnetLevels levels = unet_levels(weights);
  Json told = {
      {"_class_name", "UNet2DConditionModel"},
      {"in_channels", extent(weights, "conv_in.weight", 1)},
      {"mid_block_type", levels.attention_in_middle ? "UNetMidBlock2DCrossAttn" : "UNetMidBlock2D"},
      {"layers_per_block", count_numbered(weights, "down_blocks.0.resnets.", ".conv1.weight")},
      {"block_out_channels", levels.channels},
      {"transformer_layers_per_block", levels.transformer_layers},
      {"down_block_types", levels.down_types},
      {"up_block_types", levels.up_types},
      {"use_linear_projection", levels.any.linear_projection}};
  if (levels.any.layers > 0) told["cross_attention_dim"] = levels.any.cross_channels;
  if (weights.find("conv_out.weight")) told["out_channels"] = extent(weights, "conv_out.weight", 0);
  if (weights.find("add_embedding.linear_1.weight")) {
    told["addition_embed_type"] = "text_time";
    told["projection_class_embeddings_input_dim"] =
        extent(weights, "add_embedding.linear_1.weight", 1);
  }
  if (weights.find("time_embedding.cond_proj.weight"))
    told["time_cond_proj_dim"] = extent(weights, "time_embedding.cond_proj.weight", 1);
  Json untold = {{"act_fn", "silu"}, {"norm_num_groups", 32},
                 {"norm_eps", 1e-5}, {"flip_sin_to_cos", true},
                 {"freq_shift", 0},  {"attention_head_dim", default_heads(levels)}};
  if (told.contains("addition_embed_type")) untold["addition_time_embed_dim"] = 256;
  return {Config(std::move(told), weights.origin("conv_in.weight")), std::move(untold)};
}

ReadConfig read_autoencoder_config(const WeightSource& weights) {
  const int64_t levels = count_numbered(weights, "encoder.down_blocks.", ".resnets.0.norm1.weight");
  std::vector<int64_t> channels;
  for (int64_t level = 0; level < levels; ++level)
    channels.push_back(
        extent(weights, numbered("encoder.down_blocks.", level, ".resnets.0.conv2.weight"), 0));
  const auto count = static_cast<size_t>(levels);
  const std::string first = "encoder.conv_in.weight";
  Json told = {{"_class_name", "AutoencoderKL"},
               {"in_channels", extent(weights, first, 1)},
               {"out_channels", extent(weights, "decoder.conv_out.weight", 0)},
               {"latent_channels", extent(weights, "decoder.conv_in.weight", 1)},
               {"layers_per_block",
                count_numbered(weights, "encoder.down_blocks.0.resnets.", ".norm1.weight")},
               {"block_out_channels", channels},
               {"down_block_types", std::vector<std::string>(count, "DownEncoderBlock2D")},
               {"up_block_types", std::vector<std::string>(count, "UpDecoderBlock2D")},
               {"mid_block_add_attention",
                weights.find("decoder.mid_block.attentions.0.to_q.weight").has_value()},
               {"use_quant_conv", weights.find("quant_conv.weight").has_value()},
               {"use_post_quant_conv", weights.find("post_quant_conv.weight").has_value()}};
  return {Config(std::move(told), weights.origin(first)),
          {{"act_fn", "silu"},
           {"norm_num_groups", 32},
           {"force_upcast", true},
           {"scaling_factor", 0.18215}}};
}

ReadConfig read_clip_text_config(const WeightSource& weights) {
  const std::string tokens = "embeddings.token_embedding.weight";
  const int64_t hidden = extent(weights, tokens, 1);
  const bool projected = weights.find("text_projection.weight").has_value();
  Json told = {
      // Also where the model's own encoder has another one.
      {"architectures", {projected ? "CLIPTextModelWithProjection" : "CLIPTextModel"}},
      {"hidden_size", hidden},
      {"intermediate_size", extent(weights, "encoder.layers.0.mlp.fc1.weight", 0)},
      {"num_hidden_layers", count_numbered(weights, "encoder.layers.", ".layer_norm1.weight")},
      {"vocab_size", extent(weights, tokens, 0)},
      {"max_position_embeddings", extent(weights, "embeddings.position_embedding.weight", 0)}};
  if (projected) told["projection_dim"] = extent(weights, "text_projection.weight", 0);
  return {Config(std::move(told), weights.origin(tokens)),
          {{"hidden_act", hidden > 768 ? "gelu" : "quick_gelu"},
           {"num_attention_heads", std::max<int64_t>(1, hidden / 64)},
           {"layer_norm_eps", 1e-5},
           {"bos_token_id", 0},
           {"eos_token_id", 2},  // as in the published folders: pooling takes the largest id
           {"pad_token_id", 1}}};
}

ReadConfig read_t5_config(const WeightSource& weights) {
  const std::string attention = "encoder.block.0.layer.0.SelfAttention.";
  const std::string bias = attention + "relative_attention_bias.weight";
  const std::string feed_forward = "encoder.block.0.layer.1.DenseReluDense.";
  const int64_t heads = extent(weights, bias, 1);
  const bool gated = weights.find(feed_forward + "wi_0.weight").has_value();
  Json told = {{"d_model", extent(weights, "shared.weight", 1)},
               {"vocab_size", extent(weights, "shared.weight", 0)},
               {"num_heads", heads},
               {"d_kv", extent(weights, attention + "q.weight", 0) / std::max<int64_t>(1, heads)},
               {"d_ff", extent(weights, feed_forward + "wo.weight", 1)},
               {"num_layers", count_numbered(weights, "encoder.block.",
                                             ".layer.0.SelfAttention.q."
                                             "weight")},
               {"relative_attention_num_buckets", extent(weights, bias, 0)},
               {"feed_forward_proj", gated ? "gated-gelu" : "relu"}};
  return {Config(std::move(told), weights.origin("shared.weight")),
          {{"relative_attention_max_distance", 128}, {"layer_norm_epsilon", 1e-6}}};
}

ReadConfig read_qwen3_config(const WeightSource& weights) {
  const std::string attention = "layers.0.self_attn.";
  const int64_t head = std::max<int64_t>(1, extent(weights, attention + "q_norm.weight", 0));
  Json told = {
      {"vocab_size", extent(weights, "embed_tokens.weight", 0)},
      {"hidden_size", extent(weights, "embed_tokens.weight", 1)},
      {"intermediate_size", extent(weights, "layers.0.mlp.gate_proj.weight", 0)},
      {"num_hidden_layers", count_numbered(weights, "layers.", ".self_attn.q_proj.weight")},
      {"head_dim", head},
      {"num_attention_heads", extent(weights, attention + "q_proj.weight", 0) / head},
      {"num_key_value_heads", extent(weights, attention + "k_proj.weight", 0) / head},
      {"attention_bias", weights.find(attention + "q_proj.bias").has_value()}};
  return {Config(std::move(told), weights.origin("embed_tokens.weight")),
          {{"rope_theta", 1000000.0}, {"rms_norm_eps", 1e-6}}};
}

}  // namespace sdrbee
