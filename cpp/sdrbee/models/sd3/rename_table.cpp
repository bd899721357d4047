#include "sdrbee/models/sd3/rename_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::sd3 {
namespace {

using io::RenameRule;
using io::RenameVerb;
using Row = std::pair<std::string_view, std::string_view>;

// Latent cells on a side of the training pictures of all published models.
constexpr int64_t kSampleSize = 128;
// Where no norm of the queries shows the width of a head.
constexpr int64_t kHeadWidth = 64;

constexpr std::array<Row, 7> kRows = {{
    {"pos_embed", "pos_embed.pos_embed"},
    {"x_embedder.proj.", "pos_embed.proj."},
    {"t_embedder.mlp.0.", "time_text_embed.timestep_embedder.linear_1."},
    {"t_embedder.mlp.2.", "time_text_embed.timestep_embedder.linear_2."},
    {"y_embedder.mlp.0.", "time_text_embed.text_embedder.linear_1."},
    {"y_embedder.mlp.2.", "time_text_embed.text_embedder.linear_2."},
    {"final_layer.linear.", "proj_out."},
}};

constexpr std::array<Row, 15> kBlockRows = {{
    {"x_block.adaLN_modulation.1.", "norm1.linear."},
    {"x_block.attn.ln_q.", "attn.norm_q."},
    {"x_block.attn.ln_k.", "attn.norm_k."},
    {"x_block.attn.proj.", "attn.to_out.0."},
    {"x_block.attn2.ln_q.", "attn2.norm_q."},
    {"x_block.attn2.ln_k.", "attn2.norm_k."},
    {"x_block.attn2.proj.", "attn2.to_out.0."},
    {"x_block.mlp.fc1.", "ff.net.0.proj."},
    {"x_block.mlp.fc2.", "ff.net.2."},
    {"context_block.adaLN_modulation.1.", "norm1_context.linear."},
    {"context_block.attn.ln_q.", "attn.norm_added_q."},
    {"context_block.attn.ln_k.", "attn.norm_added_k."},
    {"context_block.attn.proj.", "attn.to_add_out."},
    {"context_block.mlp.fc1.", "ff_context.net.0.proj."},
    {"context_block.mlp.fc2.", "ff_context.net.2."},
}};

/// Layers that diffusers has as several.
constexpr std::array<std::pair<std::string_view, std::array<std::string_view, 3>>, 3> kSplits = {{
    {"x_block.attn.qkv.", {"attn.to_q.", "attn.to_k.", "attn.to_v."}},
    {"x_block.attn2.qkv.", {"attn2.to_q.", "attn2.to_k.", "attn2.to_v."}},
    {"context_block.attn.qkv.", {"attn.add_q_proj.", "attn.add_k_proj.", "attn.add_v_proj."}},
}};

void add_block(std::vector<RenameRule>& rules, const std::string& from, const std::string& to) {
  for (const auto& [row_from, row_to] : kBlockRows)
    rules.push_back({from + std::string(row_from), {to + std::string(row_to)}});
  for (const auto& [row_from, parts] : kSplits) {
    RenameRule rule{from + std::string(row_from), {}, RenameVerb::Split, 0};
    for (const std::string_view part : parts) rule.to.push_back(to + std::string(part));
    rules.push_back(std::move(rule));
  }
}

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

/// Tokens on a side of the square of positions.
int64_t position_side(const io::WeightSource& weights) {
  const int64_t positions = shape_of(weights, "pos_embed", 3)[1];
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(positions))));
  if (side * side != positions)
    throw CheckpointError(message("[", weights.origin("pos_embed"), "] tensor 'pos_embed': ",
                                  "expected positions of a square but got ", positions));
  return side;
}

}  // namespace

std::vector<RenameRule> transformer_rules(const TransformerConfig& config) {
  std::vector<RenameRule> rules;
  for (const auto& [from, to] : kRows) rules.push_back({std::string(from), {std::string(to)}});
  for (int64_t i = 0; i < config.num_layers; ++i)
    add_block(rules, block_tensor(i, ""), message("transformer_blocks.", i, "."));
  // The original has the shift first, diffusers the scale, in norms that have no gate.
  const int64_t last = config.num_layers - 1;
  for (const std::string kind : {"weight", "bias"}) {
    rules.push_back({block_tensor(last, "context_block.adaLN_modulation.1." + kind),
                     {message("transformer_blocks.", last, ".norm1_context.linear.", kind)},
                     RenameVerb::SwapHalves,
                     0});
    rules.push_back({"final_layer.adaLN_modulation.1." + kind,
                     {"norm_out.linear." + kind},
                     RenameVerb::SwapHalves,
                     0});
  }
  return rules;
}

io::Config read_transformer_config(const io::WeightSource& weights) {
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

}  // namespace sdrbee::sd3
