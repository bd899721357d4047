#include "sdrbee/control/clip_vision.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/resample.h"

namespace sdrbee::control {
namespace {

// https://github.com/openai/CLIP/blob/main/clip/clip.py
constexpr std::array<float, 3> kMean = {0.48145466F, 0.4578275F, 0.40821073F};
constexpr std::array<float, 3> kDeviation = {0.26862954F, 0.26130258F, 0.27577711F};

constexpr std::string_view kVisionPrefix = "vision_model.";
constexpr std::string_view kLayersPrefix = "encoder.layers.";
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kLayerNames = {{
    {".self_attn.q_proj.", ".attn.to_q."},
    {".self_attn.k_proj.", ".attn.to_k."},
    {".self_attn.v_proj.", ".attn.to_v."},
    {".self_attn.out_proj.", ".attn.out_proj."},
    {".layer_norm1.", ".ln_1."},
    {".layer_norm2.", ".ln_2."},
    {".mlp.fc1.", ".mlp.c_fc."},
    {".mlp.fc2.", ".mlp.c_proj."},
}};

PixelSize shorter_side(PixelSize size, int64_t side) {
  const int64_t shorter = std::min(size.width, size.height);
  return {size.width * side / shorter, size.height * side / shorter};
}

/// Its colours as they are, also where they are invisible.
Image without_alpha(const Image& image) {
  if (image.channels != 4) return image;
  Image opaque{image.size, 3, {}};
  for (size_t i = 0; i < image.pixels.size(); i += 4)
    opaque.pixels.insert(opaque.pixels.end(), &image.pixels[i], &image.pixels[i] + 3);
  return opaque;
}

}  // namespace

ClipVisionConfig ClipVisionConfig::from(const io::Config& config) {
  ClipVisionConfig result;
  result.hidden_size = config.positive_or("hidden_size", result.hidden_size);
  result.intermediate_size = config.positive_or("intermediate_size", result.intermediate_size);
  result.num_hidden_layers = config.positive_or("num_hidden_layers", result.num_hidden_layers);
  result.num_attention_heads =
      config.positive_or("num_attention_heads", result.num_attention_heads);
  if (result.hidden_size % result.num_attention_heads != 0)
    config.reject("num_attention_heads", "a divisor of hidden_size");
  result.projection_dim = config.positive_or("projection_dim", result.projection_dim);
  result.image_size = config.positive_or("image_size", result.image_size);
  result.patch_size = config.positive_or("patch_size", result.patch_size);
  if (result.patch_size > result.image_size) config.reject("patch_size", "at most image_size");
  config.require("num_channels", 3);
  result.layer_norm_eps = config.double_or("layer_norm_eps", result.layer_norm_eps);
  const auto activation = nn::find_activation(config.string_or("hidden_act", "quick_gelu"));
  if (!activation) config.reject("hidden_act", "gelu, quick_gelu or silu");
  result.hidden_act = *activation;
  return result;
}

std::vector<io::RenameRule> vision_rules(const io::WeightSource& weights) {
  std::vector<io::RenameRule> rules;
  for (const std::string& whole : weights.names()) {
    std::string name = whole;
    if (name.starts_with(kVisionPrefix)) name.erase(0, kVisionPrefix.size());
    if (name.starts_with(kLayersPrefix))
      for (const auto& [from, to] : kLayerNames)
        if (const size_t place = name.find(from); place != std::string::npos)
          name.replace(place, from.size(), to);
    if (name != whole) rules.push_back({whole, {name}});
  }
  return rules;
}

ClipVisionEncoder::ClipVisionEncoder(const io::WeightScope& scope, const ClipVisionConfig& config)
    : options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      patch_embedding_(scope / "embeddings.patch_embedding", 3, config.hidden_size,
                       config.patch_size, {.stride = config.patch_size, .bias = false}),
      class_embedding_((scope / "embeddings").take("class_embedding", {config.hidden_size})),
      position_embedding_(scope / "embeddings.position_embedding", config.tokens(),
                          config.hidden_size),
      pre_layrnorm_(scope / "pre_layrnorm", config.hidden_size, config.layer_norm_eps),
      post_layernorm_(scope / "post_layernorm", config.hidden_size, config.layer_norm_eps),
      visual_projection_(scope / "visual_projection", config.hidden_size, config.projection_dim,
                         /*bias=*/false),
      tokens_(config.tokens()) {
  const ClipLayerShape shape{.width = config.hidden_size,
                             .inner = config.intermediate_size,
                             .heads = config.num_attention_heads,
                             .activation = config.hidden_act,
                             .norm_eps = config.layer_norm_eps};
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.emplace_back(scope / "encoder.layers" / i, shape);
}

ClipVisionOutput ClipVisionEncoder::operator()(const Tensor& pixels) const {
  SDRBEE_CHECK_SHAPE(pixels, {-1, 3, -1, -1});
  // [B, hidden, h, w] -> [B, h*w, hidden]
  const Tensor patches = patch_embedding_(pixels.to(options_)).flatten(2).transpose(1, 2);
  const Tensor classes = class_embedding_.expand({pixels.size(0), 1, class_embedding_.size(0)});
  Tensor x = pre_layrnorm_(at::cat({classes, patches}, 1).add(position_embedding_.first(tokens_)));
  ClipVisionOutput output;
  for (const ClipLayer& layer : layers_) {
    output.penultimate = x;
    x = layer(x);
  }
  output.image_embeds = visual_projection_(post_layernorm_(x.select(1, 0)));
  return output;
}

Tensor clip_pixels(const Image& image, int64_t side) {
  const Image scaled = resize_bicubic(without_alpha(image), shorter_side(image.size, side));
  const int64_t left = (scaled.size.width - side) / 2;
  const int64_t top = (scaled.size.height - side) / 2;
  Tensor pixels = at::empty({1, 3, side, side}, at::kFloat);
  float* out = pixels.mutable_data_ptr<float>();
  for (size_t c = 0; c < 3; ++c)
    for (int64_t y = 0; y < side; ++y)
      for (int64_t x = 0; x < side; ++x) {
        const auto place = static_cast<size_t>((top + y) * scaled.size.width + left + x);
        const size_t from = scaled.channels == 3 ? 3 * place + c : place;
        *out++ = (static_cast<float>(scaled.pixels[from]) / 255.0F - kMean[c]) / kDeviation[c];
      }
  return pixels;
}

}  // namespace sdrbee::control
