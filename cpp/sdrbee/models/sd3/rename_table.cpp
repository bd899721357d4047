#include "sdrbee/models/sd3/rename_table.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::sd3 {
namespace {

using io::RenameRule;
using io::RenameVerb;
using Row = std::pair<std::string_view, std::string_view>;

constexpr std::array<Row, 6> kNameRows = {{
    {"x_embedder.proj.", "pos_embed.proj."},
    {"t_embedder.mlp.0.", "time_text_embed.timestep_embedder.linear_1."},
    {"t_embedder.mlp.2.", "time_text_embed.timestep_embedder.linear_2."},
    {"y_embedder.mlp.0.", "time_text_embed.text_embedder.linear_1."},
    {"y_embedder.mlp.2.", "time_text_embed.text_embedder.linear_2."},
    {"final_layer.linear.", "proj_out."},
}};

constexpr std::array<Row, 15> kBlockNameRows = {{
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
  for (const auto& [row_from, row_to] : kBlockNameRows)
    rules.push_back({from + std::string(row_from), {to + std::string(row_to)}});
  for (const auto& [row_from, parts] : kSplits) {
    RenameRule rule{from + std::string(row_from), {}, RenameVerb::Split, 0};
    for (const std::string_view part : parts) rule.to.push_back(to + std::string(part));
    rules.push_back(std::move(rule));
  }
}

std::string joint_block(int64_t block, std::string_view name) {
  return message("joint_blocks.", block, ".", name);
}

}  // namespace

std::vector<RenameRule> transformer_rules(const io::WeightSource& original) {
  return transformer_rules(count_numbered(original, "joint_blocks.", ".x_block.attn.qkv.weight"));
}

std::vector<RenameRule> transformer_rules(int64_t layers) {
  std::vector<RenameRule> rules;
  for (const auto& [from, to] : kNameRows) rules.push_back({std::string(from), {std::string(to)}});
  // ggml drops leading extents of 1: https://github.com/city96/ComfyUI-GGUF/issues/136
  rules.push_back({"pos_embed", {"pos_embed.pos_embed"}, RenameVerb::Unsqueeze});
  for (int64_t i = 0; i < layers; ++i)
    add_block(rules, joint_block(i, ""), message("transformer_blocks.", i, "."));
  // The original has the shift first, diffusers the scale, in norms that have no gate.
  const int64_t last = layers - 1;
  for (const std::string kind : {"weight", "bias"}) {
    rules.push_back({joint_block(last, "context_block.adaLN_modulation.1." + kind),
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

}  // namespace sdrbee::sd3
