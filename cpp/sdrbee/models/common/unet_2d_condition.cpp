#include "sdrbee/models/common/unet_2d_condition.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>

#include <algorithm>

#include "sdrbee/core/check.h"

namespace sdrbee {
namespace {

nn::Conv2dOptions same_size(int64_t kernel) { return {.padding = (kernel - 1) / 2}; }

nn::TimestepEmbedding::Shape time_shape(const Unet2DConditionConfig& config) {
  return {.in = config.down_blocks.front().channels,
          .hidden = config.time_embedding_dim,
          .condition = config.time_cond_proj_dim};
}

}  // namespace

Unet2DCondition::Unet2DCondition(const io::WeightScope& scope, const Unet2DConditionConfig& config)
    : config_(config),
      options_(at::TensorOptions().dtype(scope.dtype()).device(scope.device())),
      conv_in_(scope / "conv_in", config.in_channels, config.down_blocks.front().channels,
               config.conv_in_kernel, same_size(config.conv_in_kernel)),
      time_embedding_(scope / "time_embedding", time_shape(config)),
      conv_norm_out_(scope / "conv_norm_out", config.norm_num_groups,
                     config.down_blocks.front().channels, config.norm_eps),
      conv_out_(scope / "conv_out", config.down_blocks.front().channels, config.out_channels,
                config.conv_out_kernel, same_size(config.conv_out_kernel)) {
  if (config.addition)
    add_embedding_.emplace(scope / "add_embedding",
                           nn::TimestepEmbedding::Shape{.in = config.addition->input_width,
                                                        .hidden = config.time_embedding_dim});
  take_down_blocks(scope / "down_blocks");
  if (config.mid_block)
    mid_block_.emplace(scope / "mid_block",
                       shape_of(*config.mid_block, config.mid_block->channels, 0));
  take_up_blocks(scope / "up_blocks");
}

UnetBlockShape Unet2DCondition::shape_of(const UnetBlockConfig& block, int64_t in,
                                         int64_t skip) const {
  return {.block = block,
          .in = in,
          .skip = skip,
          .time = config_.time_embedding_dim,
          .groups = config_.norm_num_groups,
          .eps = config_.norm_eps};
}

void Unet2DCondition::take_down_blocks(const io::WeightScope& scope) {
  const auto padding = config_.downsample_all_sides ? nn::DownsamplePadding::AllSides
                                                    : nn::DownsamplePadding::RightAndBottom;
  int64_t in = config_.down_blocks.front().channels;
  for (size_t i = 0; i < config_.down_blocks.size(); ++i) {
    const bool last = i + 1 == config_.down_blocks.size();
    down_blocks_.emplace_back(scope / static_cast<int64_t>(i),
                              shape_of(config_.down_blocks[i], in, 0),
                              last ? std::nullopt : std::optional(padding));
    in = config_.down_blocks[i].channels;
  }
}

void Unet2DCondition::take_up_blocks(const io::WeightScope& scope) {
  const size_t count = config_.up_blocks.size();
  int64_t in = config_.up_blocks.front().channels;
  for (size_t i = 0; i < count; ++i) {
    const int64_t skip = config_.up_blocks[std::min(i + 1, count - 1)].channels;
    up_blocks_.emplace_back(scope / static_cast<int64_t>(i),
                            shape_of(config_.up_blocks[i], in, skip), /*upsample=*/i + 1 < count);
    in = config_.up_blocks[i].channels;
  }
}

Tensor Unet2DCondition::embed_time(const Tensor& timesteps, const Unet2DInputs& inputs) const {
  const nn::SinusoidalOptions layout{.flip_sin_to_cos = config_.flip_sin_to_cos,
                                     .freq_shift = config_.freq_shift};
  const Tensor sinusoids = nn::sinusoidal_embedding(timesteps.to(options_.device()),
                                                    config_.down_blocks.front().channels, layout);
  std::optional<Tensor> guidance;
  if (inputs.guidance) guidance = inputs.guidance->to(options_);
  const Tensor embedding = time_embedding_(sinusoids.to(options_), guidance);
  return add_embedding_ ? embedding.add(embed_addition(inputs)) : embedding;
}

Tensor Unet2DCondition::embed_addition(const Unet2DInputs& inputs) const {
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

Tensor Unet2DCondition::operator()(const Tensor& latents, const Tensor& timesteps,
                                   const Unet2DInputs& inputs) const {
  const int64_t batch = latents.size(0);
  SDRBEE_CHECK_SHAPE(latents, {batch, config_.in_channels, -1, -1});
  SDRBEE_CHECK_SHAPE(timesteps, {batch});
  SDRBEE_CHECK_SHAPE(inputs.context, {batch, -1, -1});
  const UnetBlockInputs shared{.activated_time = at::silu(embed_time(timesteps, inputs)),
                               .context = inputs.context.to(options_)};
  Tensor x = conv_in_(latents.to(options_));
  std::vector<Tensor> skips{x};
  for (const UnetDownBlock& block : down_blocks_) x = block(std::move(x), shared, skips);
  if (mid_block_) x = (*mid_block_)(x, shared);
  for (const UnetUpBlock& block : up_blocks_) x = block(std::move(x), shared, skips);
  return conv_out_(conv_norm_out_.silu(x));
}

Tensor guidance_embedding(const Tensor& scales, int64_t width) {
  return nn::sinusoidal_embedding(scales.sub(1.0).to(at::kFloat).mul(1000.0), width,
                                  {.flip_sin_to_cos = false, .freq_shift = 1.0});
}

}  // namespace sdrbee
