#include "sdrbee/models/common/ldm_config.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/core/error.h"

namespace sdrbee::ldm {
namespace {

using io::Config;
using io::Json;
using io::WeightSource;

constexpr int64_t kMaxBlocks = 64;

/// Extent `dimension` of a tensor that must be there.
int64_t extent(const WeightSource& weights, const std::string& name, size_t dimension) {
  const auto info = weights.find(name);
  if (!info)
    throw CheckpointError(message("[", weights.origin(name), "] missing tensor '", name, "'"));
  if (dimension >= info->shape.size())
    throw CheckpointError(message("[", weights.origin(name), "] tensor '", name,
                                  "': unexpected shape ", shape_text(info->shape)));
  return info->shape[dimension];
}

/// How many of `before0after`, `before1after`, ... are there without a gap.
int64_t count_numbered(const WeightSource& weights, const std::string& before,
                       const std::string& after) {
  int64_t count = 0;
  while (count < kMaxBlocks && weights.find(before + std::to_string(count) + after)) ++count;
  return count;
}

std::string input_block(int64_t index) { return "input_blocks." + std::to_string(index) + "."; }

/// The index of the last input block.
int64_t last_input_block(const WeightSource& weights) {
  int64_t last = 0;
  while (last < kMaxBlocks && (weights.find(input_block(last + 1) + "0.in_layers.0.weight") ||
                               weights.find(input_block(last + 1) + "0.op.weight")))
    ++last;
  return last;
}

/// Residual blocks before the first downsampler; all of them when there is none.
int64_t layers_per_block(const WeightSource& weights, int64_t last) {
  for (int64_t index = 1; index <= last; ++index)
    if (weights.find(input_block(index) + "0.op.weight")) return index - 1;
  return last;
}

/// What the attention of one resolution looks like.
struct LevelAttention {
  int64_t layers = 0;          // transformer blocks in each attention; 0 without attention
  int64_t cross_channels = 0;  // channels of the text
  bool linear_projection = false;
};

LevelAttention level_attention(const WeightSource& weights, const std::string& attention) {
  LevelAttention found;
  found.layers = count_numbered(weights, attention + "transformer_blocks.", ".norm1.weight");
  if (found.layers == 0) return found;
  found.cross_channels = extent(weights, attention + "transformer_blocks.0.attn2.to_k.weight", 1);
  found.linear_projection = weights.find(attention + "proj_in.weight")->shape.size() == 2;
  return found;
}

/// Adds what differs between resolutions.
void add_levels(const WeightSource& weights, Json& config) {
  const int64_t last = last_input_block(weights);
  const int64_t layers = layers_per_block(weights, last);
  std::vector<int64_t> channels;
  std::vector<int64_t> transformer_layers;
  std::vector<std::string> down_types;
  LevelAttention any;
  for (int64_t index = 1; index <= last; index += layers + 1) {
    const std::string block = input_block(index);
    const LevelAttention attention = level_attention(weights, block + "1.");
    if (attention.layers > 0) any = attention;
    channels.push_back(extent(weights, block + "0.out_layers.3.weight", 0));
    transformer_layers.push_back(std::max<int64_t>(1, attention.layers));
    down_types.push_back(attention.layers > 0 ? "CrossAttnDownBlock2D" : "DownBlock2D");
  }
  // The middle block has the depth of the last level, which may have no attention to show it.
  const int64_t middle =
      count_numbered(weights, "middle_block.1.transformer_blocks.", ".norm1.weight");
  if (!transformer_layers.empty()) transformer_layers.back() = std::max<int64_t>(1, middle);
  std::vector<int64_t> heads;
  for (const int64_t width : channels)
    heads.push_back(any.linear_projection ? std::max<int64_t>(1, width / 64) : 8);
  std::vector<std::string> up_types;
  for (auto type = down_types.rbegin(); type != down_types.rend(); ++type)
    up_types.push_back(*type == "DownBlock2D" ? "UpBlock2D" : "CrossAttnUpBlock2D");
  config["layers_per_block"] = layers;
  config["block_out_channels"] = channels;
  config["transformer_layers_per_block"] = transformer_layers;
  config["attention_head_dim"] = heads;
  config["down_block_types"] = down_types;
  config["up_block_types"] = up_types;
  config["cross_attention_dim"] = any.cross_channels;
  config["use_linear_projection"] = any.linear_projection;
}

}  // namespace

Config unet_config(const WeightSource& weights) {
  const std::string first = input_block(0) + "0.weight";
  Json config = {{"_class_name", "UNet2DConditionModel"},
                 {"act_fn", "silu"},
                 {"in_channels", extent(weights, first, 1)},
                 {"out_channels", extent(weights, "out.2.weight", 0)},
                 {"norm_num_groups", 32},
                 {"norm_eps", 1e-5},
                 {"flip_sin_to_cos", true},
                 {"freq_shift", 0},
                 {"mid_block_type", "UNetMidBlock2DCrossAttn"}};
  add_levels(weights, config);
  if (weights.find("label_emb.0.0.weight")) {
    config["addition_embed_type"] = "text_time";
    config["addition_time_embed_dim"] = 256;
    config["projection_class_embeddings_input_dim"] = extent(weights, "label_emb.0.0.weight", 1);
  }
  return Config(std::move(config), weights.origin(first));
}

Config vae_config(const WeightSource& weights) {
  const int64_t levels = count_numbered(weights, "encoder.down.", ".block.0.norm1.weight");
  Json channels = Json::array();
  Json down_types = Json::array();
  Json up_types = Json::array();
  for (int64_t level = 0; level < levels; ++level) {
    channels.push_back(
        extent(weights, "encoder.down." + std::to_string(level) + ".block.0.conv2.weight", 0));
    down_types.push_back("DownEncoderBlock2D");
    up_types.push_back("UpDecoderBlock2D");
  }
  const std::string first = "encoder.conv_in.weight";
  return Config(
      {{"_class_name", "AutoencoderKL"},
       {"act_fn", "silu"},
       {"in_channels", extent(weights, first, 1)},
       {"out_channels", extent(weights, "decoder.conv_out.weight", 0)},
       {"latent_channels", extent(weights, "decoder.conv_in.weight", 1)},
       {"layers_per_block", count_numbered(weights, "encoder.down.0.block.", ".norm1.weight")},
       {"block_out_channels", channels},
       {"down_block_types", down_types},
       {"up_block_types", up_types},
       {"norm_num_groups", 32},
       {"use_quant_conv", weights.find("quant_conv.weight").has_value()},
       {"use_post_quant_conv", weights.find("post_quant_conv.weight").has_value()}},
      weights.origin(first));
}

Config clip_text_config(const WeightSource& weights, const std::string& hidden_act) {
  const std::string tokens = "embeddings.token_embedding.weight";
  const int64_t hidden = extent(weights, tokens, 1);
  Json config = {
      {"hidden_act", hidden_act},
      {"hidden_size", hidden},
      {"intermediate_size", extent(weights, "encoder.layers.0.mlp.fc1.weight", 0)},
      {"num_hidden_layers", count_numbered(weights, "encoder.layers.", ".layer_norm1.weight")},
      {"num_attention_heads", std::max<int64_t>(1, hidden / 64)},
      {"vocab_size", extent(weights, tokens, 0)},
      {"max_position_embeddings", extent(weights, "embeddings.position_embedding.weight", 0)},
      {"layer_norm_eps", 1e-5},
      {"bos_token_id", 0},
      {"eos_token_id", 2},  // as in the published folders: pooling takes the largest id
      {"pad_token_id", 1}};
  if (weights.find("text_projection.weight"))
    config["projection_dim"] = extent(weights, "text_projection.weight", 0);
  return Config(std::move(config), weights.origin(tokens));
}

}  // namespace sdrbee::ldm
