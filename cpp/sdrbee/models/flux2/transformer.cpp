#include "sdrbee/models/flux2/transformer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/modulation.h"
#include "sdrbee/nn/rope.h"
#include "sdrbee/nn/timestep.h"

namespace sdrbee::flux2 {
namespace {

constexpr double kTimestepScale = 1000;

/// [B, parts * width] -> parts of [B, 1, width]
Modulations modulations(const nn::Linear& layer, const Tensor& activated, int64_t parts) {
  return layer(activated).unsqueeze(1).chunk(parts, 2);
}

}  // namespace

Transformer::Transformer(const io::WeightScope& scope, const TransformerConfig& config)
    : config_(config),
      options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      time_in_(scope / "time_guidance_embed.timestep_embedder.linear_1",
               config.timestep_guidance_channels, config.width(), /*bias=*/false),
      time_out_(scope / "time_guidance_embed.timestep_embedder.linear_2", config.width(),
                config.width(), /*bias=*/false),
      double_stream_modulation_img_(scope / "double_stream_modulation_img.linear", config.width(),
                                    6 * config.width(), /*bias=*/false),
      double_stream_modulation_txt_(scope / "double_stream_modulation_txt.linear", config.width(),
                                    6 * config.width(), /*bias=*/false),
      single_stream_modulation_(scope / "single_stream_modulation.linear", config.width(),
                                3 * config.width(), /*bias=*/false),
      x_embedder_(scope / "x_embedder", config.in_channels, config.width(), /*bias=*/false),
      context_embedder_(scope / "context_embedder", config.joint_attention_dim, config.width(),
                        /*bias=*/false),
      norm_out_(scope / "norm_out.linear", config.width(), 2 * config.width(), /*bias=*/false),
      proj_out_(scope / "proj_out", config.width(), config.out_channels, /*bias=*/false) {
  for (int64_t i = 0; i < config.num_layers; ++i)
    transformer_blocks_.emplace_back(scope / "transformer_blocks" / i, config);
  for (int64_t i = 0; i < config.num_single_layers; ++i)
    single_transformer_blocks_.emplace_back(scope / "single_transformer_blocks" / i, config);
}

Tensor Transformer::embed_time(const Tensor& timesteps) const {
  // Rounded to the network's dtype before they are scaled, as in diffusers.
  const Tensor waves = nn::sinusoidal_embedding(timesteps.to(options_) * kTimestepScale,
                                                config_.timestep_guidance_channels, {});
  return time_out_(time_in_.activated(waves.to(options_), nn::Activation::Silu));
}

Tensor Transformer::rotations_of(const TransformerInputs& inputs) const {
  const Tensor positions = inputs.positions.to(options_.device(), at::kDouble);
  const int64_t count = inputs.context.size(1);
  // Texts lie along the last axis.
  const Tensor text = at::cat({at::zeros({count, 3}, positions.options()),
                               at::arange(count, positions.options()).unsqueeze(1)},
                              1);
  return nn::rotations(at::cat({text, positions}), config_.axes_dims_rope, config_.rope_theta);
}

Tensor Transformer::operator()(const TransformerInputs& inputs) const {
  const int64_t batch = inputs.tokens.size(0);
  SDRBEE_CHECK_SHAPE(inputs.tokens, {batch, -1, config_.in_channels});
  SDRBEE_CHECK_SHAPE(inputs.positions, {inputs.tokens.size(1), 4});
  SDRBEE_CHECK_SHAPE(inputs.timesteps, {batch});
  SDRBEE_CHECK_SHAPE(inputs.context, {batch, -1, config_.joint_attention_dim});
  const Tensor activated = at::silu(embed_time(inputs.timesteps));
  const Modulations of_picture = modulations(double_stream_modulation_img_, activated, 6);
  const Modulations of_text = modulations(double_stream_modulation_txt_, activated, 6);
  const Modulations of_both = modulations(single_stream_modulation_, activated, 3);
  const Tensor rotations = rotations_of(inputs);
  JointTokens tokens{.text = context_embedder_(inputs.context.to(options_)),
                     .picture = x_embedder_(inputs.tokens.to(options_))};
  for (const DoubleBlock& block : transformer_blocks_)
    tokens = block(tokens, of_picture, of_text, rotations);
  Tensor joined = at::cat({tokens.text, tokens.picture}, 1);
  for (const SingleBlock& block : single_transformer_blocks_)
    joined = block(joined, of_both, rotations);
  const Tensor picture = joined.narrow(1, tokens.text.size(1), tokens.picture.size(1));
  const Modulations last = modulations(norm_out_, activated, 2);  // scale, shift
  return proj_out_(nn::modulated_norm(picture, {.scale = last[0], .shift = last[1]}));
}

}  // namespace sdrbee::flux2
