#include "sdrbee/models/sd3/transformer.h"

#include <ATen/ops/silu.h>

#include "sdrbee/core/check.h"

namespace sdrbee::sd3 {
namespace {

BlockKind kind_of(const TransformerConfig& config, int64_t layer) {
  return {.dual_attention = config.has_dual_attention(layer),
          .last = layer == config.num_layers - 1};
}

/// The block on the rows that do not skip it.
JointTokens run_block(const JointBlock& block, const JointTokens& tokens, const Tensor& activated,
                      const Tensor& skips) {
  if (!skips.any().item<bool>()) return block(tokens, activated);
  if (skips.all().item<bool>()) return tokens;
  const Tensor rows = skips.logical_not().nonzero().flatten().to(activated.device());
  const auto chosen = [&](const Tensor& x) { return x.index_select(0, rows); };
  const JointTokens done =
      block({.text = chosen(tokens.text), .picture = chosen(tokens.picture)}, chosen(activated));
  return {.text = tokens.text.index_copy(0, rows, done.text),
          .picture = tokens.picture.index_copy(0, rows, done.picture)};
}

}  // namespace

Transformer::Transformer(const io::WeightScope& scope, const TransformerConfig& config)
    : config_(config),
      options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      pos_embed_(scope / "pos_embed", {.channels = config.in_channels,
                                       .width = config.width(),
                                       .patch_size = config.patch_size,
                                       .max_side = config.pos_embed_max_size}),
      time_text_embed_(scope / "time_text_embed",
                       {.width = config.width(), .pooled = config.pooled_projection_dim}),
      context_embedder_(scope / "context_embedder", config.joint_attention_dim, config.width()),
      norm_out_(scope / "norm_out", config.width(), 2),
      proj_out_(scope / "proj_out", config.width(),
                config.patch_size * config.patch_size * config.out_channels) {
  const AttentionConfig attention{.heads = config.num_attention_heads,
                                  .head_width = config.attention_head_dim,
                                  .qk_norm = config.qk_norm};
  for (int64_t i = 0; i < config.num_layers; ++i)
    transformer_blocks_.emplace_back(scope / "transformer_blocks" / i, attention,
                                     kind_of(config, i));
}

Tensor Transformer::operator()(const TransformerInputs& inputs) const {
  const int64_t batch = inputs.latents.size(0);
  SDRBEE_CHECK_SHAPE(inputs.latents, {batch, config_.in_channels, -1, -1});
  SDRBEE_CHECK_SHAPE(inputs.timesteps, {batch});
  SDRBEE_CHECK_SHAPE(inputs.context, {batch, -1, config_.joint_attention_dim});
  SDRBEE_CHECK_SHAPE(inputs.pooled, {batch, config_.pooled_projection_dim});
  const int64_t rows = inputs.latents.size(2) / config_.patch_size;
  const int64_t columns = inputs.latents.size(3) / config_.patch_size;
  const Tensor activated = at::silu(time_text_embed_(inputs.timesteps, inputs.pooled.to(options_)));
  JointTokens tokens{.text = context_embedder_(inputs.context.to(options_)),
                     .picture = pos_embed_(inputs.latents.to(options_))};
  for (size_t i = 0; i < transformer_blocks_.size(); ++i) {
    const JointBlock& block = transformer_blocks_[i];
    tokens = inputs.skipped.defined() ? run_block(block, tokens, activated,
                                                  inputs.skipped.select(1, static_cast<int64_t>(i)))
                                      : block(tokens, activated);
    if (i < inputs.residuals.size()) tokens.picture = tokens.picture.add(inputs.residuals[i]);
  }
  const std::vector<Tensor> parts = norm_out_(activated);  // scale, shift
  return patches_to_latents(
      proj_out_(nn::modulated_norm(tokens.picture, {.scale = parts[0], .shift = parts[1]})), rows,
      columns);
}

Tensor Transformer::patches_to_latents(const Tensor& patches, int64_t rows, int64_t columns) const {
  const int64_t p = config_.patch_size;
  // [B, rows * columns, p*p*C] -> [B, C, rows, p, columns, p] -> [B, C, h, w]
  return patches.reshape({patches.size(0), rows, columns, p, p, config_.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({patches.size(0), config_.out_channels, rows * p, columns * p});
}

}  // namespace sdrbee::sd3
