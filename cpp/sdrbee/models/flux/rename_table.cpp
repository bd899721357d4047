#include "sdrbee/models/flux/rename_table.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::flux {
namespace {

using io::RenameRule;
using io::RenameVerb;
using Row = std::pair<std::string_view, std::string_view>;

constexpr std::array<Row, 9> kNameRows = {{
    {"img_in.", "x_embedder."},
    {"txt_in.", "context_embedder."},
    {"time_in.in_layer.", "time_text_embed.timestep_embedder.linear_1."},
    {"time_in.out_layer.", "time_text_embed.timestep_embedder.linear_2."},
    {"vector_in.in_layer.", "time_text_embed.text_embedder.linear_1."},
    {"vector_in.out_layer.", "time_text_embed.text_embedder.linear_2."},
    {"guidance_in.in_layer.", "time_text_embed.guidance_embedder.linear_1."},
    {"guidance_in.out_layer.", "time_text_embed.guidance_embedder.linear_2."},
    {"final_layer.linear.", "proj_out."},
}};

constexpr std::array<Row, 12> kDoubleRows = {{
    {"img_mod.lin.", "norm1.linear."},
    {"txt_mod.lin.", "norm1_context.linear."},
    {"img_attn.norm.query_norm.scale", "attn.norm_q.weight"},
    {"img_attn.norm.key_norm.scale", "attn.norm_k.weight"},
    {"txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"},
    {"txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"},
    {"img_attn.proj.", "attn.to_out.0."},
    {"txt_attn.proj.", "attn.to_add_out."},
    {"img_mlp.0.", "ff.net.0.proj."},
    {"img_mlp.2.", "ff.net.2."},
    {"txt_mlp.0.", "ff_context.net.0.proj."},
    {"txt_mlp.2.", "ff_context.net.2."},
}};

constexpr std::array<Row, 4> kSingleRows = {{
    {"modulation.lin.", "norm.linear."},
    {"norm.query_norm.scale", "attn.norm_q.weight"},
    {"norm.key_norm.scale", "attn.norm_k.weight"},
    {"linear2.", "proj_out."},
}};

constexpr const char* kTextEmbedder = "time_text_embed.text_embedder.linear_1.weight";
constexpr const char* kGuidanceEmbedder = "time_text_embed.guidance_embedder.linear_1.weight";

/// A layer that diffusers has as several.
struct SplitRow {
  std::string_view from;
  std::vector<std::string> to;
  std::vector<int64_t> shares = {};
};

const std::array<SplitRow, 2> kDoubleSplits = {{
    {"img_attn.qkv.", {"attn.to_q.", "attn.to_k.", "attn.to_v."}},
    {"txt_attn.qkv.", {"attn.add_q_proj.", "attn.add_k_proj.", "attn.add_v_proj."}},
}};

const std::array<SplitRow, 1> kSingleSplits = {{
    {"linear1.", {"attn.to_q.", "attn.to_k.", "attn.to_v.", "proj_mlp."}, {1, 1, 1, 4}},
}};

/// Adds the rows of one block under its old and new prefix.
template <size_t kRenames, size_t kSplits>
void add_block(std::vector<RenameRule>& rules, const std::string& from, const std::string& to,
               const std::array<Row, kRenames>& renames,
               const std::array<SplitRow, kSplits>& splits) {
  for (const auto& [row_from, row_to] : renames)
    rules.push_back({from + std::string(row_from), {to + std::string(row_to)}});
  for (const SplitRow& row : splits) {
    RenameRule rule{from + std::string(row.from), {}, RenameVerb::Split, 0, row.shares};
    for (const std::string& part : row.to) rule.to.push_back(to + part);
    rules.push_back(std::move(rule));
  }
}

}  // namespace

std::vector<RenameRule> transformer_rules(const io::WeightSource& original) {
  return transformer_rules(count_numbered(original, "double_blocks.", ".img_mod.lin.weight"),
                           count_numbered(original, "single_blocks.", ".linear1.weight"));
}

std::vector<RenameRule> transformer_rules(int64_t layers, int64_t single_layers) {
  std::vector<RenameRule> rules;
  for (const auto& [from, to] : kNameRows) rules.push_back({std::string(from), {std::string(to)}});
  // The original has the shift first, diffusers the scale.
  rules.push_back(
      {"final_layer.adaLN_modulation.1.", {"norm_out.linear."}, RenameVerb::SwapHalves, 0});
  for (int64_t i = 0; i < layers; ++i)
    add_block(rules, message("double_blocks.", i, "."), message("transformer_blocks.", i, "."),
              kDoubleRows, kDoubleSplits);
  for (int64_t i = 0; i < single_layers; ++i)
    add_block(rules, message("single_blocks.", i, "."),
              message("single_transformer_blocks.", i, "."), kSingleRows, kSingleSplits);
  return rules;
}

io::Config read_transformer_config(const io::WeightSource& weights) {
  const std::string first = "x_embedder.weight";
  const std::vector<int64_t> input = shape_of(weights, first, 2);
  const int64_t head_width = shape_of(weights, "transformer_blocks.0.attn.norm_q.weight", 1)[0];
  if (head_width < 1 || input[0] % head_width != 0)
    throw CheckpointError(message("[", weights.origin(first), "] tensor '", first,
                                  "': expected rows for whole heads of ", head_width,
                                  " channels but got shape ", shape_text(input)));
  return io::Config(
      {{"_class_name", "FluxTransformer2DModel"},
       {"patch_size", 1},
       {"in_channels", input[1]},
       {"out_channels", shape_of(weights, "proj_out.weight", 2)[0]},
       {"num_layers", count_numbered(weights, "transformer_blocks.", ".norm1.linear.weight")},
       {"num_single_layers",
        count_numbered(weights, "single_transformer_blocks.", ".proj_mlp.weight")},
       {"attention_head_dim", head_width},
       {"num_attention_heads", input[0] / head_width},
       {"joint_attention_dim", shape_of(weights, "context_embedder.weight", 2)[1]},
       {"pooled_projection_dim", shape_of(weights, kTextEmbedder, 2)[1]},
       {"guidance_embeds", weights.find(kGuidanceEmbedder).has_value()}},
      weights.origin(first));
}

}  // namespace sdrbee::flux
