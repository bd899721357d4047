#include "sdrbee/models/z_image/rename_table.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::z_image {
namespace {

using io::RenameRule;
using io::RenameVerb;

constexpr std::array<std::pair<const char*, const char*>, 2> kNameRows = {{
    {"x_embedder.", "all_x_embedder.2-1."},
    {"final_layer.", "all_final_layer.2-1."},
}};

constexpr std::array<std::pair<const char*, const char*>, 3> kBlockNameRows = {{
    {"attention.out.", "attention.to_out.0."},
    {"attention.q_norm.", "attention.norm_q."},
    {"attention.k_norm.", "attention.norm_k."},
}};

// Channels of a head that the axes turn, and their positions: no tensor tells them.
// https://huggingface.co/Tongyi-MAI/Z-Image-Turbo/blob/main/transformer/config.json
const io::Json kAxesDims = {32, 48, 48};
const io::Json kAxesLens = {1536, 512, 512};

void add_blocks(std::vector<RenameRule>& rules, const std::string& list, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const std::string block = message(list, ".", i, ".");
    for (const auto& [from, to] : kBlockNameRows) rules.push_back({block + from, {block + to}});
    rules.push_back(
        {block + "attention.qkv.",
         {block + "attention.to_q.", block + "attention.to_k.", block + "attention.to_v."},
         RenameVerb::Split,
         0});
  }
}

}  // namespace

io::Config read_transformer_config(const io::WeightSource& weights) {
  const int64_t dim = extent(weights, "x_embedder.weight", 0);
  const int64_t head = std::max<int64_t>(1, extent(weights, "layers.0.attention.q_norm.weight", 0));
  const auto count = [&](const char* list) {
    return count_numbered(weights, list, ".attention.qkv.weight");
  };
  return io::Config({{"_class_name", "ZImageTransformer2DModel"},
                     {"in_channels", extent(weights, "x_embedder.weight", 1) / (kPatch * kPatch)},
                     {"dim", dim},
                     {"n_heads", dim / head},
                     {"n_layers", count("layers.")},
                     {"n_refiner_layers", count("noise_refiner.")},
                     {"cap_feat_dim", extent(weights, "cap_embedder.0.weight", 0)},
                     {"axes_dims", kAxesDims},
                     {"axes_lens", kAxesLens}},
                    weights.origin("x_embedder.weight"));
}

std::vector<RenameRule> transformer_rules(const TransformerConfig& config) {
  // A norm that the original declares and never calls.
  std::vector<RenameRule> rules = {{"norm_final.", {}, RenameVerb::Drop}};
  for (const auto& [from, to] : kNameRows) rules.push_back({from, {to}});
  add_blocks(rules, "layers", config.n_layers);
  add_blocks(rules, "noise_refiner", config.n_refiner_layers);
  add_blocks(rules, "context_refiner", config.n_refiner_layers);
  return rules;
}

}  // namespace sdrbee::z_image
