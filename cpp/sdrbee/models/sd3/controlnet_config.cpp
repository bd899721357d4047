#include "sdrbee/models/sd3/controlnet_config.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "sdrbee/core/error.h"
#include "sdrbee/models/common/read_config.h"

namespace sdrbee::sd3 {
namespace {

using io::Json;

constexpr const char* kTextKey = "joint_attention_dim";
constexpr const char* kPositionsKey = "pos_embed_type";
constexpr const char* kMaskKey = "extra_conditioning_channels";

bool is_null(const io::Config& config, const char* key) {
  return config.json().contains(key) && config.json().at(key).is_null();
}

/// The part that is that of a transformer.
TransformerConfig read_transformer(const io::Config& config, bool sees_text) {
  if (sees_text) return TransformerConfig::from(config);
  Json plain = config.json();
  plain.erase("caption_projection_dim");  // of a layer that there isn't
  return TransformerConfig::from(io::Config(std::move(plain), config.origin()));
}

std::string models_of(const TransformerConfig& config, bool sees_text) {
  std::string text = message("Stable Diffusion 3 models of ", config.width(), " channels");
  if (sees_text) text += message(" with texts of ", config.joint_attention_dim);
  return text;
}

}  // namespace

ControlNetConfig ControlNetConfig::from(const io::Config& config) {
  ControlNetConfig result;
  result.sees_text = !is_null(config, kTextKey);
  result.own_patches = config.bool_or("use_pos_embed", true);
  result.has_positions = !result.own_patches || !is_null(config, kPositionsKey);
  if (result.own_patches) config.require(kPositionsKey, "sincos");
  const int64_t extra = config.int64_or(kMaskKey, 0);
  if (extra != 0) config.require(kMaskKey, 1);
  result.sees_mask = extra != 0;
  result.without_pooled = config.bool_or("force_zeros_for_pooled_projection", true);
  result.transformer = read_transformer(config, result.sees_text);
  return result;
}

io::Config read_controlnet_config(const io::WeightSource& weights, const io::Config& base) {
  const std::string first = "pos_embed_input.proj.weight";
  const std::vector<int64_t> patches = shape_of(weights, first, 4);
  const bool sees_text = weights.find("context_embedder.weight").has_value();
  const bool own_patches = weights.find("pos_embed.proj.weight").has_value();
  const TransformerConfig as_base = TransformerConfig::from(base);
  const int64_t channels =
      own_patches ? extent(weights, "pos_embed.proj.weight", 1) : as_base.in_channels;
  Json told = {{"_class_name", "SD3ControlNetModel"},
               {"patch_size", patches[2]},
               {"in_channels", channels},
               {kMaskKey, patches[1] - channels},
               {"num_layers", count_numbered(weights, "controlnet_blocks.", ".weight")},
               {kTextKey, nullptr},
               {"caption_projection_dim", patches[0]},
               {"pooled_projection_dim",
                extent(weights, "time_text_embed.text_embedder.linear_1.weight", 1)},
               {"use_pos_embed", own_patches},
               {kPositionsKey, nullptr},
               {"force_zeros_for_pooled_projection", sees_text},
               {"dual_attention_layers", Json::array()},
               {"qk_norm", nullptr}};
  if (sees_text) told[kTextKey] = extent(weights, "context_embedder.weight", 1);
  if (weights.find("pos_embed.pos_embed")) {
    told[kPositionsKey] = "sincos";
    told["pos_embed_max_size"] =
        std::llround(std::sqrt(static_cast<double>(extent(weights, "pos_embed.pos_embed", 1))));
  }
  int64_t head = as_base.attention_head_dim;
  if (const std::string norm = "transformer_blocks.0.attn.norm_q.weight"; weights.find(norm)) {
    told["qk_norm"] = "rms_norm";
    head = extent(weights, norm, 0);
  }
  told["attention_head_dim"] = head;
  told["num_attention_heads"] = patches[0] / std::max<int64_t>(1, head);
  for (int64_t layer = 0; layer < told.at("num_layers"); ++layer)
    if (weights.find(message("transformer_blocks.", layer, ".attn2.to_q.weight")))
      told["dual_attention_layers"].push_back(layer);
  return io::Config(std::move(told), weights.origin(first));
}

void check_fit(const ControlNetConfig& control, const TransformerConfig& base,
               const std::string& origin) {
  const TransformerConfig& own = control.transformer;
  const bool fits = own.width() == base.width() && own.patch_size == base.patch_size &&
                    own.in_channels == base.out_channels &&
                    own.pooled_projection_dim == base.pooled_projection_dim &&
                    (!control.sees_text || own.joint_attention_dim == base.joint_attention_dim);
  if (fits) return;
  throw InvalidRequest(message("[controls] expected a ControlNet for ",
                               models_of(base, control.sees_text), ", but '", origin, "' is for ",
                               models_of(own, control.sees_text)));
}

}  // namespace sdrbee::sd3
