#include "sdrbee/models/common/t5_rename_table.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace sdrbee {
namespace {

using Row = std::pair<std::string_view, std::string_view>;

constexpr std::array<Row, 10> kBlockRows = {{
    {"attn_norm.", "layer.0.layer_norm."},
    {"attn_q.", "layer.0.SelfAttention.q."},
    {"attn_k.", "layer.0.SelfAttention.k."},
    {"attn_v.", "layer.0.SelfAttention.v."},
    {"attn_o.", "layer.0.SelfAttention.o."},
    {"attn_rel_b.", "layer.0.SelfAttention.relative_attention_bias."},
    {"ffn_norm.", "layer.1.layer_norm."},
    {"ffn_gate.", "layer.1.DenseReluDense.wi_0."},
    {"ffn_up.", "layer.1.DenseReluDense.wi_1."},
    {"ffn_down.", "layer.1.DenseReluDense.wo."},
}};

}  // namespace

std::vector<io::RenameRule> t5_llama_rules(int64_t layers) {
  std::vector<io::RenameRule> rules = {{"token_embd.", {"shared."}},
                                       {"enc.output_norm.", {"encoder.final_layer_norm."}}};
  for (int64_t layer = 0; layer < layers; ++layer)
    for (const auto& [from, to] : kBlockRows) {
      const std::string number = std::to_string(layer) + ".";
      rules.push_back(
          {"enc.blk." + number + std::string(from), {"encoder.block." + number + std::string(to)}});
    }
  // llama.cpp converts whole T5 models, too.
  rules.push_back({.from = "dec.", .to = {}, .verb = io::RenameVerb::Drop});
  rules.push_back({.from = "output.weight", .to = {}, .verb = io::RenameVerb::Drop});
  return rules;
}

}  // namespace sdrbee
