#include "sdrbee/models/sd3/transformer.h"

#include <ATen/ops/silu.h>

#include <algorithm>

#include "sdrbee/core/check.h"

namespace sdrbee::sd3 {
namespace {

BlockKind kind_of(const TransformerConfig& config, int64_t layer) {
  const auto& dual = config.dual_attention_layers;
  return {.dual_attention = std::find(dual.begin(), dual.end(), layer) != dual.end(),
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
      patch_proj_(scope / "pos_embed.proj", config.in_channels, config.width(), config.patch_size,
                  {.stride = config.patch_size}),
      pos_embed_(scope / "pos_embed", "pos_embed",
                 {1, config.pos_embed_max_size * config.pos_embed_max_size, config.width()}),
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
                     .picture = embed_patches(inputs.latents.to(options_))};
  int64_t layer = 0;
  for (const JointBlock& block : transformer_blocks_) {
    tokens = inputs.skipped.defined()
                 ? run_block(block, tokens, activated, inputs.skipped.select(1, layer))
                 : block(tokens, activated);
    ++layer;
  }
  const std::vector<Tensor> parts = norm_out_(activated);  // scale, shift
  return patches_to_latents(
      proj_out_(nn::modulated_norm(tokens.picture, {.scale = parts[0], .shift = parts[1]})), rows,
      columns);
}

/// [B, C, h, w] -> [B, h/p * w/p, width]. Positions are those of a picture in the middle of the
/// largest one.
Tensor Transformer::embed_patches(const Tensor& latents) const {
  const int64_t side = config_.pos_embed_max_size;
  const int64_t rows = latents.size(2) / config_.patch_size;
  const int64_t columns = latents.size(3) / config_.patch_size;
  SDRBEE_CHECK(rows <= side && columns <= side, shape_text(latents.sizes()));
  // [B, width, rows, columns] -> [B, rows * columns, width]
  const Tensor patches = patch_proj_(latents).flatten(2).transpose(1, 2);
  const Tensor positions = pos_embed_.part([&](const Tensor& all) {
    return all.view({side, side, -1})
        .narrow(0, (side - rows) / 2, rows)
        .narrow(1, (side - columns) / 2, columns)
        .reshape({1, rows * columns, -1});
  });
  return (patches + positions).contiguous();
}

Tensor Transformer::patches_to_latents(const Tensor& patches, int64_t rows, int64_t columns) const {
  const int64_t p = config_.patch_size;
  // [B, rows * columns, p*p*C] -> [B, C, rows, p, columns, p] -> [B, C, h, w]
  return patches.reshape({patches.size(0), rows, columns, p, p, config_.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({patches.size(0), config_.out_channels, rows * p, columns * p});
}

}  // namespace sdrbee::sd3
