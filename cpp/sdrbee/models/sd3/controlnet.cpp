#include "sdrbee/models/sd3/controlnet.h"

#include <ATen/ops/silu.h>

namespace sdrbee::sd3 {
namespace {

PatchEmbedding::Shape patches_of(const ControlNetConfig& config) {
  const TransformerConfig& sizes = config.transformer;
  return {.channels = sizes.in_channels,
          .width = sizes.width(),
          .patch_size = sizes.patch_size,
          .max_side = config.has_positions ? sizes.pos_embed_max_size : 0};
}

PatchEmbedding::Shape shown_patches_of(const ControlNetConfig& config) {
  PatchEmbedding::Shape shape = patches_of(config);
  if (config.sees_mask) ++shape.channels;
  shape.max_side = 0;
  return shape;
}

}  // namespace

ControlNet::ControlNet(const io::WeightScope& scope, const ControlNetConfig& config)
    : options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      pos_embed_(scope / "pos_embed", patches_of(config)),
      pos_embed_input_(scope / "pos_embed_input", shown_patches_of(config)),
      time_text_embed_(scope / "time_text_embed",
                       {.width = config.transformer.width(),
                        .pooled = config.transformer.pooled_projection_dim}) {
  const TransformerConfig& sizes = config.transformer;
  const AttentionConfig attention{.heads = sizes.num_attention_heads,
                                  .head_width = sizes.attention_head_dim,
                                  .qk_norm = config.sees_text && sizes.qk_norm};
  if (config.sees_text)
    context_embedder_.emplace(scope / "context_embedder", sizes.joint_attention_dim, sizes.width());
  for (int64_t i = 0; i < sizes.num_layers; ++i) {
    const io::WeightScope block = scope / "transformer_blocks" / i;
    if (config.sees_text)
      transformer_blocks_.emplace_back(
          block, attention,
          BlockKind{.dual_attention = sizes.has_dual_attention(i), .last = false});
    else
      picture_blocks_.emplace_back(block, attention);
    controlnet_blocks_.emplace_back(scope / "controlnet_blocks" / i, sizes.width(), sizes.width());
  }
}

std::vector<Tensor> ControlNet::operator()(const ControlNetInputs& inputs) const {
  const Tensor activated = at::silu(time_text_embed_(inputs.timesteps, inputs.pooled.to(options_)));
  JointTokens tokens{.text = {}, .picture = pos_embed_(inputs.latents.to(options_))};
  tokens.picture = tokens.picture.add(pos_embed_input_(inputs.shown.to(options_)));
  if (context_embedder_) tokens.text = (*context_embedder_)(inputs.context.to(options_));
  std::vector<Tensor> residuals;
  for (size_t i = 0; i < controlnet_blocks_.size(); ++i) {
    if (context_embedder_)
      tokens = transformer_blocks_[i](tokens, activated);
    else
      tokens.picture = picture_blocks_[i](tokens.picture, activated);
    residuals.push_back(controlnet_blocks_[i](tokens.picture));
  }
  return residuals;
}

}  // namespace sdrbee::sd3
