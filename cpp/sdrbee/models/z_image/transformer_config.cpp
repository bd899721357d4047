#include "sdrbee/models/z_image/transformer_config.h"

#include <algorithm>
#include <numeric>

#include "sdrbee/core/error.h"

namespace sdrbee::z_image {
namespace {

constexpr size_t kAxes = 3;
constexpr int64_t kMaxTimeWidth = 256;

void check(const TransformerConfig& config, const io::Config& json) {
  if (config.dim % config.n_heads != 0) json.reject("n_heads", "a divisor of 'dim'");
  const std::vector<int64_t>& axes = config.axes_dims;
  const bool even = std::all_of(axes.begin(), axes.end(),
                                [](int64_t width) { return width >= 0 && width % 2 == 0; });
  if (axes.size() != kAxes || !even ||
      std::accumulate(axes.begin(), axes.end(), int64_t{0}) != config.head_width())
    json.reject("axes_dims",
                message("3 even numbers with the sum of a head's width, ", config.head_width()));
  const std::vector<int64_t>& lengths = config.axes_lens;
  if (lengths.size() != kAxes ||
      !std::all_of(lengths.begin(), lengths.end(), [](int64_t length) { return length > 1; }))
    json.reject("axes_lens", "3 numbers of positions");
}

}  // namespace

int64_t TransformerConfig::time_width() const { return std::min(dim, kMaxTimeWidth); }

int64_t TransformerConfig::most_text_tokens() const {
  // Text begins at position 1, and the picture has the one behind it.
  return (axes_lens[0] - 2) / kTokensMultiple * kTokensMultiple;
}

TransformerConfig TransformerConfig::from(const io::Config& json) {
  json.require("all_patch_size", io::Json{kPatch});
  json.require("all_f_patch_size", io::Json{1});
  json.require("siglip_feat_dim", nullptr);
  TransformerConfig config;
  for (const auto& [key, value] : {std::pair{"in_channels", &config.in_channels},
                                   {"dim", &config.dim},
                                   {"n_layers", &config.n_layers},
                                   {"n_heads", &config.n_heads},
                                   {"cap_feat_dim", &config.cap_feat_dim}}) {
    *value = json.int64_or(key, *value);
    if (*value < 1) json.reject(key, "a positive integer");
  }
  config.n_refiner_layers = json.int64_or("n_refiner_layers", config.n_refiner_layers);
  if (config.n_refiner_layers < 0) json.reject("n_refiner_layers", "a number of blocks");
  config.norm_eps = json.double_or("norm_eps", config.norm_eps);
  config.qk_norm = json.bool_or("qk_norm", config.qk_norm);
  config.rope_theta = json.double_or("rope_theta", config.rope_theta);
  config.t_scale = json.double_or("t_scale", config.t_scale);
  config.axes_dims = json.int64s_or("axes_dims", config.axes_dims);
  config.axes_lens = json.int64s_or("axes_lens", config.axes_lens);
  check(config, json);
  return config;
}

}  // namespace sdrbee::z_image
