#include "sdrbee/models/sd3/read_config.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::sd3 {
namespace {

using io::Config;
using io::Json;
using io::WeightSource;

// Latent cells on a side of the training pictures of all published models.
constexpr int64_t kSampleSize = 128;
// Where no norm of the queries shows the width of a head.
constexpr int64_t kHeadWidth = 64;

/// The shape of a tensor of `dimensions` dimensions that must be there.
std::vector<int64_t> shape_of(const io::WeightSource& weights, const std::string& name,
                              size_t dimensions) {
  const auto info = weights.find(name);
  if (!info)
    throw CheckpointError(message("[", weights.origin(name), "] missing tensor '", name, "'"));
  if (info->shape.size() != dimensions)
    throw CheckpointError(message("[", weights.origin(name), "] tensor '", name,
                                  "': unexpected shape ", shape_text(info->shape)));
  return info->shape;
}

std::string block_tensor(int64_t block, std::string_view name) {
  return message("joint_blocks.", block, ".", name);
}

/// Tokens on a side of the square of positions, [1, N, C] or [N, C].
int64_t position_side(const io::WeightSource& weights) {
  const auto info = weights.find("pos_embed");
  const bool squeezed = info && info->shape.size() == 2;
  const int64_t positions = shape_of(weights, "pos_embed", squeezed ? 2 : 3)[squeezed ? 0 : 1];
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(positions))));
  if (side * side != positions)
    throw CheckpointError(message("[", weights.origin("pos_embed"), "] tensor 'pos_embed': ",
                                  "expected positions of a square but got ", positions));
  return side;
}

}  // namespace

Config read_transformer_config(const io::WeightSource& weights) {
  const std::vector<int64_t> patches = shape_of(weights, "x_embedder.proj.weight", 4);
  const int64_t width = patches[0];
  const auto norm = weights.find(block_tensor(0, "x_block.attn.ln_q.weight"));
  const int64_t head_width =
      norm ? shape_of(weights, block_tensor(0, "x_block.attn.ln_q.weight"), 1)[0] : kHeadWidth;
  if (head_width < 1 || width % head_width != 0)
    throw CheckpointError(message("[", weights.origin("x_embedder.proj.weight"), "] tensor ",
                                  "'x_embedder.proj.weight': expected rows for whole heads of ",
                                  head_width, " channels but got shape ", shape_text(patches)));
  std::vector<int64_t> dual;
  int64_t layers = 0;
  for (; weights.find(block_tensor(layers, "x_block.attn.qkv.weight")); ++layers)
    if (weights.find(block_tensor(layers, "x_block.attn2.qkv.weight"))) dual.push_back(layers);
  io::Json config = {{"_class_name", "SD3Transformer2DModel"},
                     {"sample_size", kSampleSize},
                     {"patch_size", patches[2]},
                     {"in_channels", patches[1]},
                     {"out_channels", shape_of(weights, "final_layer.linear.weight", 2)[0] /
                                          std::max<int64_t>(1, patches[2] * patches[3])},
                     {"num_layers", layers},
                     {"attention_head_dim", head_width},
                     {"num_attention_heads", width / head_width},
                     {"joint_attention_dim", shape_of(weights, "context_embedder.weight", 2)[1]},
                     {"caption_projection_dim", width},
                     {"pooled_projection_dim", shape_of(weights, "y_embedder.mlp.0.weight", 2)[1]},
                     {"pos_embed_max_size", position_side(weights)},
                     {"dual_attention_layers", dual}};
  if (norm) config["qk_norm"] = "rms_norm";
  return io::Config(std::move(config), weights.origin("x_embedder.proj.weight"));
}

Config read_autoencoder_config(const WeightSource& weights) {
  const int64_t levels = count_numbered(weights, "encoder.down_blocks.", ".resnets.0.norm1.weight");
  std::vector<int64_t> channels;
  for (int64_t level = 0; level < levels; ++level)
    channels.push_back(
        shape_of(weights, message("encoder.down_blocks.", level, ".resnets.0.conv2.weight"), 4)[0]);
  const auto count = static_cast<size_t>(levels);
  const std::string first = "encoder.conv_in.weight";
  return Config({{"_class_name", "AutoencoderKL"},
                 {"in_channels", shape_of(weights, first, 4)[1]},
                 {"out_channels", shape_of(weights, "decoder.conv_out.weight", 4)[0]},
                 {"latent_channels", shape_of(weights, "decoder.conv_in.weight", 4)[1]},
                 {"layers_per_block",
                  count_numbered(weights, "encoder.down_blocks.0.resnets.", ".norm1.weight")},
                 {"block_out_channels", channels},
                 {"down_block_types", std::vector<std::string>(count, "DownEncoderBlock2D")},
                 {"up_block_types", std::vector<std::string>(count, "UpDecoderBlock2D")},
                 {"use_quant_conv", weights.find("quant_conv.weight").has_value()},
                 {"use_post_quant_conv", weights.find("post_quant_conv.weight").has_value()},
                 {"norm_num_groups", 32},
                 {"sample_size", 1024},
                 {"force_upcast", true},
                 {"scaling_factor", kScalingFactor},
                 {"shift_factor", kShiftFactor}},
                weights.origin(first));
}

Config read_clip_config(const WeightSource& weights, const std::string& hidden_act) {
  const std::string tokens = "embeddings.token_embedding.weight";
  const int64_t hidden = shape_of(weights, tokens, 2)[1];
  const bool projected = weights.find("text_projection.weight").has_value();
  return Config(
      {{"hidden_act", hidden_act},
       {"hidden_size", hidden},
       {"intermediate_size", shape_of(weights, "encoder.layers.0.mlp.fc1.weight", 2)[0]},
       {"num_hidden_layers", count_numbered(weights, "encoder.layers.", ".layer_norm1.weight")},
       {"num_attention_heads", std::max<int64_t>(1, hidden / kHeadWidth)},
       {"vocab_size", shape_of(weights, tokens, 2)[0]},
       {"max_position_embeddings", shape_of(weights, "embeddings.position_embedding.weight", 2)[0]},
       {"projection_dim", projected ? shape_of(weights, "text_projection.weight", 2)[0] : hidden},
       {"eos_token_id", 2}},  // as in the published folders: pooling takes the largest id
      weights.origin(tokens));
}

Config read_t5_config(const WeightSource& weights) {
  const std::string attention = "encoder.block.0.layer.0.SelfAttention.";
  const auto buckets = shape_of(weights, attention + "relative_attention_bias.weight", 2);
  const auto table = shape_of(weights, "shared.weight", 2);
  return Config(
      {{"vocab_size", table[0]},
       {"d_model", table[1]},
       {"num_heads", buckets[1]},
       {"d_kv", shape_of(weights, attention + "q.weight", 2)[0] / std::max<int64_t>(1, buckets[1])},
       {"d_ff", shape_of(weights, "encoder.block.0.layer.1.DenseReluDense.wo.weight", 2)[1]},
       {"num_layers", count_numbered(weights, "encoder.block.", ".layer.0.SelfAttention.q.weight")},
       {"relative_attention_num_buckets", buckets[0]},
       {"feed_forward_proj", "gated-gelu"}},
      weights.origin("shared.weight"));
}

}  // namespace sdrbee::sd3
