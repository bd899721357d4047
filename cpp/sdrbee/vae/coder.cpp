#include "sdrbee/vae/coder.h"

#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee::vae {
namespace {

constexpr double kNormEps = 1e-6;
constexpr nn::Conv2dOptions kSameSize{.padding = 1};

nn::ResnetShape resnet_shape(const AutoencoderKlConfig& config, int64_t in, int64_t out) {
  return {.in = in, .out = out, .groups = config.norm_num_groups, .eps = kNormEps};
}

/// The layer under its name of today, or under that of files from before diffusers 0.18.
nn::Linear projection(const io::WeightScope& scope, const char* name, const char* old_name,
                      int64_t channels) {
  const bool old = scope.contains(std::string(old_name) + ".weight");
  return nn::Linear(scope / (old ? old_name : name), channels, channels);
}

}  // namespace

PictureAttention::PictureAttention(const io::WeightScope& scope, int64_t channels, int64_t groups)
    : group_norm_(scope / "group_norm", groups, channels, kNormEps),
      to_q_(projection(scope, "to_q", "query", channels)),
      to_k_(projection(scope, "to_k", "key", channels)),
      to_v_(projection(scope, "to_v", "value", channels)),
      to_out_(projection(scope, "to_out.0", "proj_attn", channels)) {}

Tensor PictureAttention::operator()(const Tensor& x) const {
  const Tensor tokens = nn::picture_to_tokens(group_norm_(x));
  const Tensor attended = nn::attention(to_q_(tokens), to_k_(tokens), to_v_(tokens), /*heads=*/1);
  return nn::tokens_to_picture(to_out_.add(attended, nn::picture_to_tokens(x)), x.size(2),
                               x.size(3));
}

MidBlock::MidBlock(const io::WeightScope& scope, const AutoencoderKlConfig& config)
    : first_(scope / "resnets.0", resnet_shape(config, config.block_out_channels.back(),
                                               config.block_out_channels.back())),
      second_(scope / "resnets.1", resnet_shape(config, config.block_out_channels.back(),
                                                config.block_out_channels.back())) {
  if (config.mid_block_add_attention)
    attention_.emplace(scope / "attentions.0", config.block_out_channels.back(),
                       config.norm_num_groups);
}

Tensor MidBlock::operator()(const Tensor& x) const {
  const Tensor y = first_(x);
  return second_(attention_ ? (*attention_)(y) : y);
}

Encoder::Encoder(const io::WeightScope& scope, const AutoencoderKlConfig& config)
    : conv_in_(scope / "conv_in", config.in_channels, config.block_out_channels.front(), 3,
               kSameSize),
      mid_block_(scope / "mid_block", config),
      conv_norm_out_(scope / "conv_norm_out", config.norm_num_groups,
                     config.block_out_channels.back(), kNormEps),
      conv_out_(scope / "conv_out", config.block_out_channels.back(), 2 * config.latent_channels, 3,
                kSameSize) {
  int64_t width = config.block_out_channels.front();
  for (size_t i = 0; i < config.block_out_channels.size(); ++i) {
    const io::WeightScope inner = scope / "down_blocks" / static_cast<int64_t>(i);
    Block& block = down_blocks_.emplace_back();
    for (int64_t j = 0; j < config.layers_per_block; ++j) {
      block.resnets.emplace_back(inner / "resnets" / j,
                                 resnet_shape(config, width, config.block_out_channels[i]));
      width = config.block_out_channels[i];
    }
    if (i + 1 < config.block_out_channels.size())
      block.downsampler.emplace(inner / "downsamplers.0", width,
                                nn::DownsamplePadding::RightAndBottom);
  }
}

Tensor Encoder::operator()(const Tensor& picture, const std::optional<int64_t>& tile) const {
  return run_stages(stages(), picture, tile);
}

std::vector<Stage> Encoder::stages() const {
  std::vector<Stage> result;
  for (const Block& block : down_blocks_) {
    Stage& stage = result.emplace_back(Stage{.resnets = block.resnets});
    if (!block.downsampler) continue;
    stage.after = [&block](const Tensor& x) { return (*block.downsampler)(x); };
    stage.input = 2;
  }
  result.front().before = [this](const Tensor& x) { return conv_in_(x); };
  result.back().after = [this](const Tensor& x) {
    return conv_out_(conv_norm_out_.silu(mid_block_(x)));
  };
  return result;
}

Decoder::Decoder(const io::WeightScope& scope, const AutoencoderKlConfig& config)
    : conv_in_(scope / "conv_in", config.latent_channels, config.block_out_channels.back(), 3,
               kSameSize),
      mid_block_(scope / "mid_block", config),
      conv_norm_out_(scope / "conv_norm_out", config.norm_num_groups,
                     config.block_out_channels.front(), kNormEps),
      conv_out_(scope / "conv_out", config.block_out_channels.front(), config.out_channels, 3,
                kSameSize) {
  int64_t width = config.block_out_channels.back();
  const size_t count = config.block_out_channels.size();
  for (size_t i = 0; i < count; ++i) {
    const io::WeightScope inner = scope / "up_blocks" / static_cast<int64_t>(i);
    const int64_t out = config.block_out_channels[count - 1 - i];
    Block& block = up_blocks_.emplace_back();
    for (int64_t j = 0; j < config.layers_per_block + 1; ++j) {
      block.resnets.emplace_back(inner / "resnets" / j, resnet_shape(config, width, out));
      width = out;
    }
    if (i + 1 < count) block.upsampler.emplace(inner / "upsamplers.0", width);
  }
}

Tensor Decoder::operator()(const Tensor& latents, const std::optional<int64_t>& tile) const {
  return run_stages(stages(), latents, tile);
}

std::vector<Stage> Decoder::stages() const {
  std::vector<Stage> result;
  const Block* previous = nullptr;
  for (const Block& block : up_blocks_) {
    Stage& stage = result.emplace_back(Stage{.resnets = block.resnets});
    if (previous != nullptr) {
      stage.before = [previous](const Tensor& x) { return (*previous->upsampler)(x); };
      stage.output = 2;
    }
    previous = &block;
  }
  result.front().before = [this](const Tensor& x) { return mid_block_(conv_in_(x)); };
  result.back().norm = &conv_norm_out_;
  result.back().after = [this](const Tensor& x) { return conv_out_(x); };
  return result;
}

}  // namespace sdrbee::vae
