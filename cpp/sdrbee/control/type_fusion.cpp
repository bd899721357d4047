#include "sdrbee/control/type_fusion.h"

#include <ATen/ops/mean.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <string_view>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::control {
namespace {

/// In the order of the published networks; the last two are those of the larger one ("ProMax").
constexpr std::array<std::pair<std::string_view, int64_t>, 15> kTypes = {{
    {"openpose", 0},
    {"depth", 1},
    {"softedge", 2},
    {"hed", 2},
    {"pidi", 2},
    {"scribble", 2},
    {"ted", 2},
    {"canny", 3},
    {"lineart", 3},
    {"anime_lineart", 3},
    {"mlsd", 3},
    {"normal", 4},
    {"segment", 5},
    {"tile", 6},
    {"repaint", 7},
}};

Tensor mean_of_picture(const Tensor& features) { return at::mean(features, at::IntArrayRef{2, 3}); }

std::vector<ClipLayer> take_layers(const io::WeightScope& scope, const TypeFusionConfig& config) {
  const ClipLayerShape shape{
      .width = config.channels, .inner = 4 * config.channels, .heads = config.heads};
  std::vector<ClipLayer> layers;
  for (int64_t i = 0; i < config.layers; ++i) layers.emplace_back(scope / i, shape);
  return layers;
}

}  // namespace

int64_t find_control_type(const std::string& name, int64_t count) {
  std::string known;
  for (const auto& [type, index] : kTypes) {
    if (index >= count) continue;
    if (type == name) return index;
    known += message(known.empty() ? "'" : ", '", type, "'");
  }
  throw InvalidRequest(message("[controls] this ControlNet follows several types of pictures; ",
                               "expected a `type` of ", known, " but got '", name, "'"));
}

TypeFusion::TypeFusion(const io::WeightScope& scope, const ControlNetConfig& config)
    : config_(*config.fusion),
      layout_{.flip_sin_to_cos = config.unet.flip_sin_to_cos, .freq_shift = config.unet.freq_shift},
      task_embedding_(scope.take("task_embedding", {config_.types, config_.channels})),
      transformer_layes_(take_layers(scope / "transformer_layes", config_)),
      spatial_ch_projs_(scope / "spatial_ch_projs", config_.channels,
                        config.unet.down_blocks.front().channels),
      control_add_embedding_(
          scope / "control_add_embedding",
          nn::TimestepEmbedding::Shape{.in = config_.time_width * config_.types,
                                       .hidden = config.unet.time_embedding_dim}) {}

Tensor TypeFusion::time_embedding(int64_t type) const {
  Tensor chosen = at::zeros({config_.types}, at::kFloat);
  chosen[type].fill_(1.0);
  // [types] -> [types, width] -> [1, types*width]
  const Tensor sinusoids =
      nn::sinusoidal_embedding(chosen, config_.time_width, layout_).reshape({1, -1});
  return control_add_embedding_(sinusoids.to(task_embedding_.options()));
}

Tensor TypeFusion::operator()(const Tensor& x, const Tensor& features, int64_t type) const {
  // The published code attends over the batch, whose rows are equal here, and not over tokens: the
  // picture's token sees itself alone, and that of the latents goes nowhere.
  Tensor tokens = mean_of_picture(features).add(task_embedding_[type]).unsqueeze(1);
  for (const ClipLayer& layer : transformer_layes_) tokens = layer(tokens);
  const Tensor shift = spatial_ch_projs_(tokens.select(1, 0));  // [B, C]
  return x.add(features).add(shift.reshape({shift.size(0), shift.size(1), 1, 1}));
}

}  // namespace sdrbee::control
