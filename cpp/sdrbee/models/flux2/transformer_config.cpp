#include "sdrbee/models/flux2/transformer_config.h"

#include <algorithm>
#include <numeric>

#include "sdrbee/core/error.h"

namespace sdrbee::flux2 {
namespace {

constexpr size_t kAxes = 4;

void check_axes(const TransformerConfig& config, const io::Config& json) {
  const std::vector<int64_t>& axes = config.axes_dims_rope;
  const bool even = std::all_of(axes.begin(), axes.end(),
                                [](int64_t width) { return width >= 0 && width % 2 == 0; });
  if (axes.size() != kAxes || !even ||
      std::accumulate(axes.begin(), axes.end(), int64_t{0}) != config.attention_head_dim)
    json.reject("axes_dims_rope", message("4 even numbers with the sum of 'attention_head_dim', ",
                                          config.attention_head_dim));
}

}  // namespace

TransformerConfig TransformerConfig::from(const io::Config& json) {
  json.require("patch_size", 1);
  json.require("eps", 1e-6);
  if (json.bool_or("guidance_embeds", true))
    throw UnsupportedModel(message("[", json.origin(), "] 'guidance_embeds': this is FLUX.2 dev, ",
                                   "of which only the smaller klein is supported"));
  TransformerConfig config;
  config.out_channels = json.int64_or("in_channels", config.in_channels);
  for (const auto& [key, value] :
       {std::pair{"in_channels", &config.in_channels},
        {"out_channels", &config.out_channels},
        {"num_layers", &config.num_layers},
        {"num_single_layers", &config.num_single_layers},
        {"attention_head_dim", &config.attention_head_dim},
        {"num_attention_heads", &config.num_attention_heads},
        {"joint_attention_dim", &config.joint_attention_dim},
        {"timestep_guidance_channels", &config.timestep_guidance_channels}}) {
    *value = json.int64_or(key, *value);
    if (*value < 1) json.reject(key, "a positive integer");
  }
  config.mlp_ratio = json.double_or("mlp_ratio", config.mlp_ratio);
  if (!(config.mlp_ratio > 0)) json.reject("mlp_ratio", "a positive number");
  config.axes_dims_rope = json.int64s_or("axes_dims_rope", config.axes_dims_rope);
  config.rope_theta = json.double_or("rope_theta", config.rope_theta);
  check_axes(config, json);
  return config;
}

}  // namespace sdrbee::flux2
