#include "sdrbee/models/z_image/transformer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/rope.h"
#include "sdrbee/nn/timestep.h"

namespace sdrbee::z_image {
namespace {

constexpr int64_t kFrequencies = 256;
constexpr int64_t kTimeInner = 1024;
constexpr double kFinalEps = 1e-6;
// The only size of patches, in space and time, that published networks have.
constexpr const char* kEmbedder = "all_x_embedder.2-1";
constexpr const char* kFinalLayer = "all_final_layer.2-1";

/// [B, C, h, w] -> [B, h/2 * w/2, 4*C]: of each patch row by row, channels last.
Tensor patches_of(const Tensor& latents) {
  const int64_t batch = latents.size(0), channels = latents.size(1);
  const int64_t rows = latents.size(2) / kPatch, columns = latents.size(3) / kPatch;
  return latents.reshape({batch, channels, rows, kPatch, columns, kPatch})
      .permute({0, 2, 4, 3, 5, 1})
      .reshape({batch, rows * columns, kPatch * kPatch * channels});
}

/// The inverse: [B, h/2 * w/2, 4*C] -> [B, C, h, w].
Tensor picture_of(const Tensor& patches, int64_t height, int64_t width) {
  return patches.reshape({patches.size(0), height / kPatch, width / kPatch, kPatch, kPatch, -1})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({patches.size(0), -1, height, width});
}

/// Positions of the picture's tokens, which begin behind the text's: [h/2 * w/2, 3].
Tensor picture_positions(int64_t first, int64_t rows, int64_t columns) {
  const Tensor row = at::arange(rows, at::kDouble).unsqueeze(1).expand({rows, columns});
  const Tensor column = at::arange(columns, at::kDouble).expand({rows, columns});
  const Tensor behind = at::full({rows, columns}, static_cast<double>(first), at::kDouble);
  return at::stack({behind, row, column}, 2).reshape({-1, 3});
}

std::vector<Block> blocks(const io::WeightScope& scope, int64_t count,
                          const TransformerConfig& config, bool modulated) {
  std::vector<Block> made;
  for (int64_t i = 0; i < count; ++i) made.emplace_back(scope / i, config, modulated);
  return made;
}

}  // namespace

int64_t filled_up(int64_t tokens) {
  return (tokens + kTokensMultiple - 1) / kTokensMultiple * kTokensMultiple;
}

Transformer::Transformer(const io::WeightScope& scope, const TransformerConfig& config)
    : config_(config),
      options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      time_in_(scope / "t_embedder.mlp.0", kFrequencies, kTimeInner),
      time_out_(scope / "t_embedder.mlp.2", kTimeInner, config.time_width()),
      cap_norm_(scope / "cap_embedder.0", config.cap_feat_dim, config.norm_eps),
      cap_embedder_(scope / "cap_embedder.1", config.cap_feat_dim, config.dim),
      x_embedder_(scope / kEmbedder, kPatch * kPatch * config.in_channels, config.dim),
      x_pad_token_(scope.take("x_pad_token", {1, config.dim})),
      cap_pad_token_(scope.take("cap_pad_token", {1, config.dim})),
      noise_refiner_(blocks(scope / "noise_refiner", config.n_refiner_layers, config, true)),
      context_refiner_(blocks(scope / "context_refiner", config.n_refiner_layers, config, false)),
      layers_(blocks(scope / "layers", config.n_layers, config, true)),
      final_modulation_(scope / kFinalLayer / "adaLN_modulation.1", config.time_width(),
                        config.dim),
      final_linear_(scope / kFinalLayer / "linear", config.dim,
                    kPatch * kPatch * config.in_channels) {}

Tensor Transformer::embed_time(const Tensor& timesteps) const {
  const Tensor waves =
      nn::sinusoidal_embedding(timesteps.to(options_.device()) * config_.t_scale, kFrequencies, {});
  return time_out_(time_in_.activated(waves.to(options_), nn::Activation::Silu));
}

Tensor Transformer::rotations_of(const Tensor& positions) const {
  return nn::rotations(positions.to(options_.device()), config_.axes_dims, config_.rope_theta);
}

Transformer::Sequence Transformer::embed_text(const TransformerInputs& inputs) const {
  const int64_t count = filled_up(inputs.counts.front());
  const int64_t stored = std::min(count, inputs.context.size(1));
  const Tensor text = cap_embedder_(cap_norm_(inputs.context.narrow(1, 0, stored).to(options_)));
  const Tensor longer = at::constant_pad_nd(text, {0, 0, 0, count - stored});
  const Tensor counts = at::tensor(inputs.counts, at::kLong).to(options_.device()).view({-1, 1, 1});
  const Tensor index =
      at::arange(count, at::TensorOptions().dtype(at::kLong).device(options_.device()));
  // Fillers have positions as if they were text.
  const Tensor along = at::arange(1, count + 1, at::kDouble).unsqueeze(1);
  const Tensor positions = at::cat({along, at::zeros({count, 2}, at::kDouble)}, 1);
  return {.tokens = at::where(index.view({1, -1, 1}) < counts, longer, cap_pad_token_),
          .rotations = rotations_of(positions)};
}

Transformer::Sequence Transformer::embed_picture(const Tensor& latents, int64_t text_tokens) const {
  const Tensor tokens = x_embedder_(patches_of(latents.to(options_)));
  const int64_t missing = filled_up(tokens.size(1)) - tokens.size(1);
  const Tensor fillers = x_pad_token_.expand({tokens.size(0), missing, config_.dim});
  const Tensor positions =
      picture_positions(text_tokens + 1, latents.size(2) / kPatch, latents.size(3) / kPatch);
  return {.tokens = at::cat({tokens, fillers}, 1),
          .rotations = rotations_of(at::cat({positions, at::zeros({missing, 3}, at::kDouble)}))};
}

Tensor Transformer::project(const Tensor& tokens, const Tensor& time) const {
  const Tensor scale = final_modulation_(at::silu(time)).unsqueeze(1) + 1;
  return final_linear_(at::layer_norm(tokens, {config_.dim}, {}, {}, kFinalEps).mul_(scale));
}

Tensor Transformer::operator()(const TransformerInputs& inputs) const {
  const Tensor& latents = inputs.latents;
  SDRBEE_CHECK_SHAPE(latents, {-1, config_.in_channels, -1, -1});
  SDRBEE_CHECK_SHAPE(inputs.timesteps, {latents.size(0)});
  SDRBEE_CHECK_SHAPE(inputs.context, {latents.size(0), -1, config_.cap_feat_dim});
  SDRBEE_CHECK(std::ssize(inputs.counts) == latents.size(0));
  for (const int64_t count : inputs.counts)
    SDRBEE_CHECK(filled_up(count) == filled_up(inputs.counts.front()), count);
  const Tensor time = embed_time(inputs.timesteps);
  Sequence text = embed_text(inputs);
  for (const Block& block : context_refiner_) text.tokens = block(text.tokens, text.rotations);
  Sequence picture = embed_picture(latents, text.tokens.size(1));
  for (const Block& block : noise_refiner_)
    picture.tokens = block(picture.tokens, picture.rotations, time);
  const Tensor rotations = at::cat({picture.rotations, text.rotations});
  Tensor joined = at::cat({picture.tokens, text.tokens}, 1);
  for (const Block& block : layers_) joined = block(joined, rotations, time);
  const int64_t tokens = latents.size(2) / kPatch * (latents.size(3) / kPatch);
  return picture_of(project(joined.narrow(1, 0, tokens), time), latents.size(2), latents.size(3));
}

}  // namespace sdrbee::z_image
