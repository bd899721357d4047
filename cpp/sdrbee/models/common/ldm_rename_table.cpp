#include "sdrbee/models/common/ldm_rename_table.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::ldm {
namespace {

using io::RenameRule;
using io::RenameVerb;
using Row = std::pair<std::string_view, std::string_view>;

constexpr std::array<Row, 10> kUnetRows = {{
    {"time_embed.0.", "time_embedding.linear_1."},
    {"time_embed.2.", "time_embedding.linear_2."},
    {"label_emb.0.0.", "add_embedding.linear_1."},
    {"label_emb.0.2.", "add_embedding.linear_2."},
    {"input_blocks.0.0.", "conv_in."},
    {"middle_block.0.", "mid_block.resnets.0."},
    {"middle_block.1.", "mid_block.attentions.0."},
    {"middle_block.2.", "mid_block.resnets.1."},
    {"out.0.", "conv_norm_out."},
    {"out.2.", "conv_out."},
}};

constexpr std::array<Row, 6> kUnetResnetRows = {{
    {"in_layers.0.", "norm1."},
    {"in_layers.2.", "conv1."},
    {"emb_layers.1.", "time_emb_proj."},
    {"out_layers.0.", "norm2."},
    {"out_layers.3.", "conv2."},
    {"skip_connection.", "conv_shortcut."},
}};

constexpr std::array<Row, 4> kVaeMiddleRows = {{
    {"mid.block_1.", "mid_block.resnets.0."},
    {"mid.block_2.", "mid_block.resnets.1."},
    {"mid.attn_1.", "mid_block.attentions.0."},
    {"norm_out.", "conv_norm_out."},
}};

/// Kernels of 1x1 convolutions in the original, linear layers in diffusers.
constexpr std::array<Row, 5> kVaeAttentionRows = {{
    {"norm.", "group_norm."},
    {"q.", "to_q."},
    {"k.", "to_k."},
    {"v.", "to_v."},
    {"proj_out.", "to_out.0."},
}};

constexpr std::array<Row, 3> kOpenClipRows = {{
    {"positional_embedding", "embeddings.position_embedding.weight"},
    {"token_embedding.weight", "embeddings.token_embedding.weight"},
    {"ln_final.", "final_layer_norm."},
}};

constexpr std::array<Row, 5> kOpenClipBlockRows = {{
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
    {"attn.out_proj.", "self_attn.out_proj."},
}};

constexpr std::array<Row, 9> kControlNetRows = {{
    {"input_hint_block.0.", "controlnet_cond_embedding.conv_in."},
    {"input_hint_block.2.", "controlnet_cond_embedding.blocks.0."},
    {"input_hint_block.4.", "controlnet_cond_embedding.blocks.1."},
    {"input_hint_block.6.", "controlnet_cond_embedding.blocks.2."},
    {"input_hint_block.8.", "controlnet_cond_embedding.blocks.3."},
    {"input_hint_block.10.", "controlnet_cond_embedding.blocks.4."},
    {"input_hint_block.12.", "controlnet_cond_embedding.blocks.5."},
    {"input_hint_block.14.", "controlnet_cond_embedding.conv_out."},
    {"middle_block_out.0.", "controlnet_mid_block."},
}};

/// The number of blocks in the original's flat list of input blocks.
int64_t input_block_count(const io::WeightSource& unet) {
  int64_t count = 1;
  while (unet.find(message("input_blocks.", count, ".0.in_layers.0.weight")) ||
         unet.find(message("input_blocks.", count, ".0.op.weight")))
    ++count;
  return count;
}

/// Collects rules; a module's rows are added under its old and new prefix.
class RuleList {
 public:
  void add(const std::string& from, const std::string& to, RenameVerb verb = RenameVerb::Rename) {
    rules_.push_back({from, {to}, verb});
  }
  void add(RenameRule rule) { rules_.push_back(std::move(rule)); }

  template <size_t kCount>
  void add_rows(const std::string& from, const std::string& to, const std::array<Row, kCount>& rows,
                RenameVerb verb = RenameVerb::Rename) {
    for (const auto& [row_from, row_to] : rows)
      add(from + std::string(row_from), to + std::string(row_to), verb);
  }

  std::vector<RenameRule> take() { return std::move(rules_); }

 private:
  std::vector<RenameRule> rules_;
};

std::string numbered(std::string_view before, int64_t index, std::string_view after) {
  return std::string(before) + std::to_string(index) + std::string(after);
}

void add_unet_block(RuleList& rules, const std::string& from, const std::string& to,
                    int64_t layer) {
  rules.add_rows(from + "0.", to + numbered("resnets.", layer, "."), kUnetResnetRows);
  rules.add(from + "1.", to + numbered("attentions.", layer, "."));
}

void add_vae_levels(RuleList& rules, int64_t levels, int64_t layers_per_block) {
  for (int64_t level = 0; level < levels; ++level) {
    const std::string down = numbered("encoder.down.", level, ".");
    const std::string down_block = numbered("encoder.down_blocks.", level, ".");
    const std::string up = numbered("decoder.up.", level, ".");
    // The original counts decoder levels from the highest resolution, diffusers from the lowest.
    const std::string up_block = numbered("decoder.up_blocks.", levels - 1 - level, ".");
    rules.add(down + "block.", down_block + "resnets.");
    rules.add(down + "downsample.", down_block + "downsamplers.0.");
    rules.add(up + "block.", up_block + "resnets.");
    rules.add(up + "upsample.", up_block + "upsamplers.0.");
    for (int64_t layer = 0; layer <= layers_per_block; ++layer)  // the decoder has one more
      for (const auto& [from, to] : {std::pair(down, down_block), {up, up_block}})
        rules.add(from + numbered("block.", layer, ".nin_shortcut."),
                  to + numbered("resnets.", layer, ".conv_shortcut."));
  }
}

}  // namespace

UnetLayout unet_layout(const io::WeightSource& unet) {
  const int64_t blocks = input_block_count(unet);
  UnetLayout layout = {.levels = 1, .layers_per_block = blocks - 1};
  for (int64_t block = blocks - 1; block > 0; --block)
    if (unet.find(message("input_blocks.", block, ".0.op.weight"))) {
      ++layout.levels;
      layout.layers_per_block = block - 1;
    }
  return layout;
}

std::vector<RenameRule> controlnet_rules(const UnetLayout& layout) {
  RuleList rules;
  rules.add_rows("", "", kControlNetRows);
  for (int64_t i = 0; i < layout.levels * (layout.layers_per_block + 1); ++i)
    rules.add(numbered("zero_convs.", i, ".0."), numbered("controlnet_down_blocks.", i, "."));
  std::vector<RenameRule> all = unet_rules(layout);
  for (RenameRule& rule : rules.take()) all.push_back(std::move(rule));
  return all;
}

std::vector<RenameRule> unet_rules(const UnetLayout& layout) {
  RuleList rules;
  rules.add_rows("", "", kUnetRows);
  rules.add_rows("middle_block.0.", "mid_block.resnets.0.", kUnetResnetRows);
  rules.add_rows("middle_block.2.", "mid_block.resnets.1.", kUnetResnetRows);
  const int64_t per_level = layout.layers_per_block + 1;
  for (int64_t index = 0; index < layout.levels * per_level; ++index) {
    const int64_t level = index / per_level;
    const int64_t layer = index % per_level;
    const std::string input = numbered("input_blocks.", index + 1, ".");
    const std::string down = numbered("down_blocks.", level, ".");
    if (layer == layout.layers_per_block)
      rules.add(input + "0.op.", down + "downsamplers.0.conv.");
    else
      add_unet_block(rules, input, down, layer);

    const std::string output = numbered("output_blocks.", index, ".");
    const std::string up = numbered("up_blocks.", level, ".");
    add_unet_block(rules, output, up, layer);
    // The upsampler comes after the attention where there is one.
    rules.add(output + "1.conv.", up + "upsamplers.0.conv.");
    rules.add(output + "2.conv.", up + "upsamplers.0.conv.");
  }
  return rules.take();
}

std::vector<RenameRule> vae_rules(int64_t levels, int64_t layers_per_block) {
  RuleList rules;
  add_vae_levels(rules, levels, layers_per_block);
  for (const std::string half : {"encoder.", "decoder."}) {
    rules.add_rows(half, half, kVaeMiddleRows);
    rules.add_rows(half + "mid.attn_1.", half + "mid_block.attentions.0.", kVaeAttentionRows,
                   RenameVerb::SqueezeConv);
  }
  // What training left behind.
  rules.add({.from = "loss.", .to = {}, .verb = RenameVerb::Drop});
  rules.add({.from = "model_ema.", .to = {}, .verb = RenameVerb::Drop});
  return rules.take();
}

std::vector<RenameRule> open_clip_rules(int64_t layers, bool penultimate_only) {
  RuleList rules;
  rules.add_rows("", "", kOpenClipRows);
  rules.add("text_projection", "text_projection.weight",
            penultimate_only ? RenameVerb::Drop : RenameVerb::Transpose);
  rules.add({.from = "logit_scale", .to = {}, .verb = RenameVerb::Drop});
  rules.add({.from = "attn_mask", .to = {}, .verb = RenameVerb::Drop});
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string block = numbered("transformer.resblocks.", layer, ".");
    const std::string target = numbered("encoder.layers.", layer, ".");
    if (penultimate_only && layer == 23) {
      rules.add({.from = block, .to = {}, .verb = RenameVerb::Drop});
      continue;
    }
    rules.add_rows(block, target, kOpenClipBlockRows);
    for (const std::string kind : {"weight", "bias"}) {
      RenameRule split = {block + "attn.in_proj_" + kind, {}, RenameVerb::Split};
      for (const std::string part : {"q", "k", "v"})
        split.to.push_back(target + "self_attn." + part + "_proj." + kind);
      rules.add(std::move(split));
    }
  }
  return rules.take();
}

}  // namespace sdrbee::ldm
