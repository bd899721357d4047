#include "sdrbee/models/common/unet_2d_condition.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/check.h"

namespace sdrbee {

Unet2DCondition::Unet2DCondition(const io::WeightScope& scope, const Unet2DConditionConfig& config)
    : encoder_(scope, config),
      conv_norm_out_(scope / "conv_norm_out", config.norm_num_groups,
                     config.down_blocks.front().channels, config.norm_eps),
      conv_out_(scope / "conv_out", config.down_blocks.front().channels, config.out_channels,
                config.conv_out_kernel, {.padding = (config.conv_out_kernel - 1) / 2}) {
  take_up_blocks(scope / "up_blocks");
}

void Unet2DCondition::take_up_blocks(const io::WeightScope& scope) {
  const std::vector<UnetBlockConfig>& blocks = config().up_blocks;
  const size_t count = blocks.size();
  int64_t in = blocks.front().channels;
  for (size_t i = 0; i < count; ++i) {
    const int64_t skip = blocks[std::min(i + 1, count - 1)].channels;
    up_blocks_.emplace_back(scope / static_cast<int64_t>(i),
                            unet_block_shape(config(), blocks[i], in, skip),
                            /*upsample=*/i + 1 < count);
    in = blocks[i].channels;
  }
}

Tensor Unet2DCondition::operator()(const Tensor& latents, const Tensor& timesteps,
                                   const Unet2DInputs& inputs,
                                   const std::optional<ControlResiduals>& added) const {
  SDRBEE_CHECK(latents.size(0) == timesteps.size(0));
  UnetBlockInputs shared = encoder_.shared_inputs(timesteps, inputs);
  if (added) shared.extra = added->contexts;
  std::vector<Tensor> skips;
  const std::vector<Tensor> features = added ? added->features : std::vector<Tensor>();
  Tensor x = encoder_.down(encoder_.begin(latents), shared, skips, features);
  x = encoder_.middle(x, shared);
  const size_t blocks = config().down_blocks.size();
  if (features.size() > blocks && features[blocks].sizes() == x.sizes())
    x = x.add(features[blocks]);
  if (added && !added->skips.empty()) {
    SDRBEE_CHECK(added->skips.size() == skips.size());
    for (size_t i = 0; i < skips.size(); ++i) skips[i] = skips[i].add(added->skips[i]);
    x = x.add(added->middle);
  }
  for (const UnetUpBlock& block : up_blocks_) x = block(std::move(x), shared, skips);
  return conv_out_(conv_norm_out_.silu(x));
}

Tensor guidance_embedding(const Tensor& scales, int64_t width) {
  return nn::sinusoidal_embedding(scales.sub(1.0).to(at::kFloat).mul(1000.0), width,
                                  {.flip_sin_to_cos = false, .freq_shift = 1.0});
}

}  // namespace sdrbee
