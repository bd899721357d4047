#include "sdrbee/models/flux/transformer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include "sdrbee/core/check.h"
#include "sdrbee/nn/rope.h"

namespace sdrbee::flux {
namespace {

constexpr double kTheta = 10000;
constexpr double kTimestepScale = 1000;

}  // namespace

Transformer::Transformer(const io::WeightScope& scope, const TransformerConfig& config)
    : config_(config),
      options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      time_text_embed_(scope / "time_text_embed", {.width = config.width(),
                                                   .pooled = config.pooled_projection_dim,
                                                   .guidance = config.guidance_embeds}),
      context_embedder_(scope / "context_embedder", config.joint_attention_dim, config.width()),
      x_embedder_(scope / "x_embedder", config.in_channels, config.width()),
      norm_out_(scope / "norm_out", config.width(), 2),
      proj_out_(scope / "proj_out", config.width(), config.out_channels) {
  const AttentionConfig attention{.heads = config.num_attention_heads,
                                  .head_width = config.attention_head_dim};
  for (int64_t i = 0; i < config.num_layers; ++i)
    transformer_blocks_.emplace_back(scope / "transformer_blocks" / i, attention);
  for (int64_t i = 0; i < config.num_single_layers; ++i)
    single_transformer_blocks_.emplace_back(scope / "single_transformer_blocks" / i, attention);
}

Tensor Transformer::embed(const TransformerInputs& inputs) const {
  // Rounded to the network's dtype before they are scaled, as in diffusers.
  const Tensor timesteps = inputs.timesteps.to(options_) * kTimestepScale;
  Tensor guidance;
  if (config_.guidance_embeds) guidance = inputs.guidance.to(options_) * kTimestepScale;
  return at::silu(time_text_embed_(timesteps, inputs.pooled.to(options_), guidance));
}

Tensor Transformer::rotations_of(const TransformerInputs& inputs) const {
  const Tensor positions = inputs.positions.to(options_.device(), at::kDouble);
  const Tensor text = at::zeros({inputs.context.size(1), positions.size(1)}, positions.options());
  return nn::rotations(at::cat({text, positions}), config_.axes_dims_rope, kTheta);
}

Tensor Transformer::operator()(const TransformerInputs& inputs) const {
  const int64_t batch = inputs.tokens.size(0);
  SDRBEE_CHECK_SHAPE(inputs.tokens, {batch, -1, config_.in_channels});
  SDRBEE_CHECK_SHAPE(inputs.positions, {inputs.tokens.size(1), 3});
  SDRBEE_CHECK_SHAPE(inputs.timesteps, {batch});
  SDRBEE_CHECK_SHAPE(inputs.context, {batch, -1, config_.joint_attention_dim});
  SDRBEE_CHECK_SHAPE(inputs.pooled, {batch, config_.pooled_projection_dim});
  const BlockInputs shared{.activated = embed(inputs), .rotations = rotations_of(inputs)};
  JointTokens tokens{.text = context_embedder_(inputs.context.to(options_)),
                     .picture = x_embedder_(inputs.tokens.to(options_))};
  for (const DoubleBlock& block : transformer_blocks_) tokens = block(tokens, shared);
  Tensor joined = at::cat({tokens.text, tokens.picture}, 1);
  for (const SingleBlock& block : single_transformer_blocks_) joined = block(joined, shared);
  const Tensor picture = joined.narrow(1, tokens.text.size(1), tokens.picture.size(1));
  const std::vector<Tensor> parts = norm_out_(shared.activated);  // scale, shift
  return proj_out_(nn::modulated_norm(picture, {.scale = parts[0], .shift = parts[1]}));
}

}  // namespace sdrbee::flux
