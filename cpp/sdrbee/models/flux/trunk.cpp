#include "sdrbee/models/flux/trunk.h"

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

Trunk::Trunk(const io::WeightScope& scope, const TransformerConfig& config)
    : config_(config),
      options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      time_text_embed_(scope / "time_text_embed", {.width = config.width(),
                                                   .pooled = config.pooled_projection_dim,
                                                   .guidance = config.guidance_embeds}),
      context_embedder_(scope / "context_embedder", config.joint_attention_dim, config.width()),
      x_embedder_(scope / "x_embedder", config.in_channels, config.width()) {
  const AttentionConfig attention{.heads = config.num_attention_heads,
                                  .head_width = config.attention_head_dim};
  for (int64_t i = 0; i < config.num_layers; ++i)
    transformer_blocks_.emplace_back(scope / "transformer_blocks" / i, attention);
  for (int64_t i = 0; i < config.num_single_layers; ++i)
    single_transformer_blocks_.emplace_back(scope / "single_transformer_blocks" / i, attention);
}

Tensor Trunk::activated(const TransformerInputs& inputs) const {
  // Rounded to the network's dtype before they are scaled, as in diffusers.
  const Tensor timesteps = inputs.timesteps.to(options_) * kTimestepScale;
  Tensor guidance;
  if (config_.guidance_embeds) guidance = inputs.guidance.to(options_) * kTimestepScale;
  return at::silu(time_text_embed_(timesteps, inputs.pooled.to(options_), guidance));
}

BlockInputs Trunk::shared_inputs(const TransformerInputs& inputs, int64_t before_text) const {
  const Tensor positions = inputs.positions.to(options_.device(), at::kDouble);
  const Tensor text =
      at::zeros({before_text + inputs.context.size(1), positions.size(1)}, positions.options());
  return {.activated = activated(inputs),
          .rotations = nn::rotations(at::cat({text, positions}), config_.axes_dims_rope, kTheta)};
}

JointTokens Trunk::embed(const TransformerInputs& inputs) const {
  const int64_t batch = inputs.tokens.size(0);
  SDRBEE_CHECK_SHAPE(inputs.tokens, {batch, -1, config_.in_channels});
  SDRBEE_CHECK_SHAPE(inputs.positions, {inputs.tokens.size(1), 3});
  SDRBEE_CHECK_SHAPE(inputs.timesteps, {batch});
  SDRBEE_CHECK_SHAPE(inputs.context, {batch, -1, config_.joint_attention_dim});
  SDRBEE_CHECK_SHAPE(inputs.pooled, {batch, config_.pooled_projection_dim});
  return {.text = context_embedder_(inputs.context.to(options_)),
          .picture = x_embedder_(inputs.tokens.to(options_))};
}

}  // namespace sdrbee::flux
