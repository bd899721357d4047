#include "sdrbee/models/common/unet_encoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>

#include <utility>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

nn::TimestepEmbedding::Shape time_shape(const Unet2DConditionConfig& config) {
  return {.in = config.down_blocks.front().channels,
          .hidden = config.time_embedding_dim,
          .condition = config.time_cond_proj_dim};
}

std::vector<UnetDownBlock> take_down_blocks(const io::WeightScope& scope,
                                            const Unet2DConditionConfig& config) {
  const auto padding = config.downsample_all_sides ? nn::DownsamplePadding::AllSides
                                                   : nn::DownsamplePadding::RightAndBottom;
  std::vector<UnetDownBlock> blocks;
  int64_t in = config.down_blocks.front().channels;
  for (size_t i = 0; i < config.down_blocks.size(); ++i) {
    const bool last = i + 1 == config.down_blocks.size();
    blocks.emplace_back(scope / static_cast<int64_t>(i),
                        unet_block_shape(config, config.down_blocks[i], in, 0),
                        last ? std::nullopt : std::optional(padding));
    in = config.down_blocks[i].channels;
  }
  return blocks;
}

}  // namespace

UnetBlockShape unet_block_shape(const Unet2DConditionConfig& config, const UnetBlockConfig& block,
                                int64_t in, int64_t skip) {
  return {.block = block,
          .in = in,
          .skip = skip,
          .time = config.time_embedding_dim,
          .groups = config.norm_num_groups,
          .eps = config.norm_eps};
}

UnetEncoder::UnetEncoder(const io::WeightScope& scope, const Unet2DConditionConfig& config)
    : config_(config),
      options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      conv_in_(scope / "conv_in", config.in_channels, config.down_blocks.front().channels,
               config.conv_in_kernel, {.padding = (config.conv_in_kernel - 1) / 2}),
      time_embedding_(scope / "time_embedding", time_shape(config)),
      down_blocks_(take_down_blocks(scope / "down_blocks", config)) {
  if (config.addition)
    add_embedding_.emplace(scope / "add_embedding",
                           nn::TimestepEmbedding::Shape{.in = config.addition->input_width,
                                                        .hidden = config.time_embedding_dim});
  if (config.mid_block)
    mid_block_.emplace(scope / "mid_block",
                       unet_block_shape(config, *config.mid_block, config.mid_block->channels, 0));
}

Tensor UnetEncoder::embed_time(const Tensor& timesteps, const Unet2DInputs& inputs) const {
  const nn::SinusoidalOptions layout{.flip_sin_to_cos = config_.flip_sin_to_cos,
                                     .freq_shift = config_.freq_shift};
  const Tensor sinusoids = nn::sinusoidal_embedding(timesteps.to(options_.device()),
                                                    config_.down_blocks.front().channels, layout);
  std::optional<Tensor> guidance;
  if (inputs.guidance) guidance = inputs.guidance->to(options_);
  Tensor embedding = time_embedding_(sinusoids.to(options_), guidance);
  if (inputs.added_time) embedding = embedding.add(*inputs.added_time);
  return add_embedding_ ? embedding.add(embed_addition(inputs)) : embedding;
}

Tensor UnetEncoder::embed_addition(const Unet2DInputs& inputs) const {
  SDRBEE_CHECK(inputs.text_embeds && inputs.time_ids, "this model needs text_embeds and time_ids");
  const Tensor& ids = *inputs.time_ids;
  const nn::SinusoidalOptions layout{.flip_sin_to_cos = config_.flip_sin_to_cos,
                                     .freq_shift = config_.freq_shift};
  // [B, 6] -> [B*6, width] -> [B, 6*width]
  const Tensor times = nn::sinusoidal_embedding(ids.to(options_.device()).reshape({-1}),
                                                config_.addition->time_width, layout)
                           .reshape({ids.size(0), -1});
  return (*add_embedding_)(at::cat({inputs.text_embeds->to(options_), times.to(options_)}, 1));
}

UnetBlockInputs UnetEncoder::shared_inputs(const Tensor& timesteps,
                                           const Unet2DInputs& inputs) const {
  const int64_t batch = timesteps.size(0);
  SDRBEE_CHECK_SHAPE(timesteps, {batch});
  SDRBEE_CHECK_SHAPE(inputs.context, {batch, -1, -1});
  return {.activated_time = at::silu(embed_time(timesteps, inputs)),
          .context = inputs.context.to(options_)};
}

Tensor UnetEncoder::begin(const Tensor& latents) const {
  SDRBEE_CHECK_SHAPE(latents, {-1, config_.in_channels, -1, -1});
  return conv_in_(latents.to(options_));
}

Tensor UnetEncoder::down(Tensor x, const UnetBlockInputs& shared, std::vector<Tensor>& skips,
                         std::span<const Tensor> features) const {
  skips.push_back(x);
  for (size_t i = 0; i < down_blocks_.size(); ++i)
    x = down_blocks_[i](std::move(x), shared, skips, i < features.size() ? features[i] : Tensor());
  return x;
}

Tensor UnetEncoder::middle(const Tensor& x, const UnetBlockInputs& shared) const {
  return mid_block_ ? (*mid_block_)(x, shared) : x;
}

}  // namespace sdrbee
