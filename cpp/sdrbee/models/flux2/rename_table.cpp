#include "sdrbee/models/flux2/rename_table.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::flux2 {
namespace {

using io::RenameRule;
using io::RenameVerb;
using Row = std::pair<const char*, const char*>;

constexpr std::array<Row, 8> kNameRows = {{
    {"img_in.", "x_embedder."},
    {"txt_in.", "context_embedder."},
    {"time_in.in_layer.", "time_guidance_embed.timestep_embedder.linear_1."},
    {"time_in.out_layer.", "time_guidance_embed.timestep_embedder.linear_2."},
    {"double_stream_modulation_img.lin.", "double_stream_modulation_img.linear."},
    {"double_stream_modulation_txt.lin.", "double_stream_modulation_txt.linear."},
    {"single_stream_modulation.lin.", "single_stream_modulation.linear."},
    {"final_layer.linear.", "proj_out."},
}};

constexpr std::array<Row, 10> kDoubleRows = {{
    {"img_attn.norm.query_norm.scale", "attn.norm_q.weight"},
    {"img_attn.norm.key_norm.scale", "attn.norm_k.weight"},
    {"img_attn.proj.", "attn.to_out.0."},
    {"img_mlp.0.", "ff.linear_in."},
    {"img_mlp.2.", "ff.linear_out."},
    {"txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"},
    {"txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"},
    {"txt_attn.proj.", "attn.to_add_out."},
    {"txt_mlp.0.", "ff_context.linear_in."},
    {"txt_mlp.2.", "ff_context.linear_out."},
}};

constexpr std::array<Row, 4> kSingleRows = {{
    {"linear1.", "attn.to_qkv_mlp_proj."},
    {"linear2.", "attn.to_out."},
    {"norm.query_norm.scale", "attn.norm_q.weight"},
    {"norm.key_norm.scale", "attn.norm_k.weight"},
}};

}  // namespace

io::Config read_transformer_config(const io::WeightSource& weights) {
  const int64_t width = extent(weights, "img_in.weight", 0);
  const int64_t head =
      std::max<int64_t>(1, extent(weights, "double_blocks.0.img_attn.norm.query_norm.scale", 0));
  const int64_t quarter = head / 4;  // all axes turn as many channels
  const int64_t inner = extent(weights, "double_blocks.0.img_mlp.2.weight", 1);
  return io::Config(
      {{"_class_name", "Flux2Transformer2DModel"},
       {"in_channels", extent(weights, "img_in.weight", 1)},
       {"out_channels", extent(weights, "final_layer.linear.weight", 0)},
       {"num_layers", count_numbered(weights, "double_blocks.", ".img_attn.qkv.weight")},
       {"num_single_layers", count_numbered(weights, "single_blocks.", ".linear1.weight")},
       {"attention_head_dim", head},
       {"num_attention_heads", width / head},
       {"joint_attention_dim", extent(weights, "txt_in.weight", 1)},
       {"timestep_guidance_channels", extent(weights, "time_in.in_layer.weight", 1)},
       {"mlp_ratio", static_cast<double>(inner) / static_cast<double>(std::max<int64_t>(1, width))},
       {"axes_dims_rope", {quarter, quarter, quarter, quarter}},
       {"guidance_embeds", weights.find("guidance_in.in_layer.weight").has_value()}},
      weights.origin("img_in.weight"));
}

std::vector<RenameRule> transformer_rules(const TransformerConfig& config) {
  std::vector<RenameRule> rules;
  for (const auto& [from, to] : kNameRows) rules.push_back({from, {to}});
  // The original has the shift first, diffusers the scale.
  rules.push_back(
      {"final_layer.adaLN_modulation.1.", {"norm_out.linear."}, RenameVerb::SwapHalves, 0});
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string from = message("double_blocks.", i, ".");
    const std::string to = message("transformer_blocks.", i, ".");
    for (const auto& [old_name, name] : kDoubleRows)
      rules.push_back({from + old_name, {to + name}});
    rules.push_back({from + "img_attn.qkv.",
                     {to + "attn.to_q.", to + "attn.to_k.", to + "attn.to_v."},
                     RenameVerb::Split,
                     0});
    rules.push_back({from + "txt_attn.qkv.",
                     {to + "attn.add_q_proj.", to + "attn.add_k_proj.", to + "attn.add_v_proj."},
                     RenameVerb::Split,
                     0});
  }
  for (int64_t i = 0; i < config.num_single_layers; ++i)
    for (const auto& [old_name, name] : kSingleRows)
      rules.push_back({message("single_blocks.", i, ".", old_name),
                       {message("single_transformer_blocks.", i, ".", name)}});
  return rules;
}

}  // namespace sdrbee::flux2
