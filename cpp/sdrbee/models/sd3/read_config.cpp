#include "sdrbee/models/sd3/read_config.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sdrbee/core/error.h"

namespace sdrbee::sd3 {
namespace {

using io::Json;
using io::WeightSource;

// Latent cells on a side of the training pictures of all published models.
constexpr int64_t kSampleSize = 128;
// Where no norm of the queries shows the width of a head.
constexpr int64_t kHeadWidth = 64;

constexpr const char* kTextEmbedder = "time_text_embed.text_embedder.linear_1.weight";

std::string block_tensor(int64_t block, std::string_view name) {
  return message("transformer_blocks.", block, ".", name);
}

/// Tokens on a side of the square of positions.
int64_t position_side(const WeightSource& weights) {
  const std::string name = "pos_embed.pos_embed";
  const int64_t positions = shape_of(weights, name, 3)[1];
  const auto side = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(positions))));
  if (side * side != positions)
    throw CheckpointError(message("[", weights.origin(name), "] tensor '", name,
                                  "': expected positions of a square but got ", positions));
  return side;
}

}  // namespace

ReadConfig read_transformer_config(const WeightSource& weights) {
  const std::string first = "pos_embed.proj.weight";
  const std::vector<int64_t> patches = shape_of(weights, first, 4);
  const int64_t width = patches[0];
  const std::string norm = block_tensor(0, "attn.norm_q.weight");
  const bool qk_norm = weights.find(norm).has_value();
  const int64_t head_width = qk_norm ? shape_of(weights, norm, 1)[0] : kHeadWidth;
  if (head_width < 1 || width % head_width != 0)
    throw CheckpointError(message("[", weights.origin(first), "] tensor '", first,
                                  "': expected rows for whole heads of ", head_width,
                                  " channels but got shape ", shape_text(patches)));
  const int64_t layers = count_numbered(weights, "transformer_blocks.", ".attn.to_q.weight");
  std::vector<int64_t> dual;
  for (int64_t layer = 0; layer < layers; ++layer)
    if (weights.find(block_tensor(layer, "attn2.to_q.weight"))) dual.push_back(layer);
  Json told = {{"_class_name", "SD3Transformer2DModel"},
               {"patch_size", patches[2]},
               {"in_channels", patches[1]},
               {"out_channels", shape_of(weights, "proj_out.weight", 2)[0] /
                                    std::max<int64_t>(1, patches[2] * patches[3])},
               {"num_layers", layers},
               {"joint_attention_dim", shape_of(weights, "context_embedder.weight", 2)[1]},
               {"caption_projection_dim", width},
               {"pooled_projection_dim", shape_of(weights, kTextEmbedder, 2)[1]},
               {"pos_embed_max_size", position_side(weights)},
               {"dual_attention_layers", dual}};
  if (qk_norm) told["qk_norm"] = "rms_norm";
  Json untold = {{"sample_size", kSampleSize}};
  (qk_norm ? told : untold)
      .update({{"attention_head_dim", head_width}, {"num_attention_heads", width / head_width}});
  return {io::Config(std::move(told), weights.origin(first)), std::move(untold)};
}

}  // namespace sdrbee::sd3
