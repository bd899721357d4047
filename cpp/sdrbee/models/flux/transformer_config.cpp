#include "sdrbee/models/flux/transformer_config.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

#include "sdrbee/core/error.h"

namespace sdrbee::flux {
namespace {

constexpr size_t kAxes = 3;

void check(const TransformerConfig& config, const io::Config& json) {
  for (const auto& [key, value] :
       {std::pair<std::string_view, int64_t>{"in_channels", config.in_channels},
        {"out_channels", config.out_channels},
        {"attention_head_dim", config.attention_head_dim},
        {"num_attention_heads", config.num_attention_heads},
        {"joint_attention_dim", config.joint_attention_dim},
        {"pooled_projection_dim", config.pooled_projection_dim}})
    if (value < 1) json.reject(key, "a positive number");
  for (const auto& [key, value] :
       {std::pair<std::string_view, int64_t>{"num_layers", config.num_layers},
        {"num_single_layers", config.num_single_layers}})
    if (value < 0) json.reject(key, "a number of blocks");
  const std::vector<int64_t>& axes = config.axes_dims_rope;
  const bool even = std::all_of(axes.begin(), axes.end(),
                                [](int64_t width) { return width >= 0 && width % 2 == 0; });
  if (axes.size() != kAxes || !even ||
      std::accumulate(axes.begin(), axes.end(), int64_t{0}) != config.attention_head_dim)
    json.reject("axes_dims_rope", message("3 even numbers with the sum of 'attention_head_dim', ",
                                          config.attention_head_dim));
}

}  // namespace

TransformerConfig TransformerConfig::from(const io::Config& json) {
  json.require("patch_size", 1);
  TransformerConfig config;
  config.in_channels = json.int64_or("in_channels", config.in_channels);
  config.out_channels = json.int64_or("out_channels", config.in_channels);
  config.num_layers = json.int64_or("num_layers", config.num_layers);
  config.num_single_layers = json.int64_or("num_single_layers", config.num_single_layers);
  config.attention_head_dim = json.int64_or("attention_head_dim", config.attention_head_dim);
  config.num_attention_heads = json.int64_or("num_attention_heads", config.num_attention_heads);
  config.joint_attention_dim = json.int64_or("joint_attention_dim", config.joint_attention_dim);
  config.pooled_projection_dim =
      json.int64_or("pooled_projection_dim", config.pooled_projection_dim);
  config.guidance_embeds = json.bool_or("guidance_embeds", config.guidance_embeds);
  config.axes_dims_rope = json.int64s_or("axes_dims_rope", config.axes_dims_rope);
  check(config, json);
  return config;
}

}  // namespace sdrbee::flux
