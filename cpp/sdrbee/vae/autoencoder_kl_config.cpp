#include "sdrbee/vae/autoencoder_kl_config.h"

#include "sdrbee/core/error.h"
#include "sdrbee/nn/activation.h"

namespace sdrbee::vae {
namespace {

// More would make 2^count overflow long before any real network is reached.
constexpr size_t kMaxBlocks = 16;

void require_block_types(const io::Config& config, const char* key, const std::string& type,
                         size_t count) {
  const auto types = config.strings_or(key, {type});
  if (types.size() != count) config.reject(key, "as many entries as block_out_channels");
  for (const std::string& name : types)
    if (name != type)
      throw UnsupportedModel(message("[", config.origin(), "] '", key, "': only ", type,
                                     " is supported but got ", name));
}

std::optional<std::vector<double>> per_channel(const io::Config& config, const char* key,
                                               int64_t channels) {
  if (!config.has(key)) return std::nullopt;
  auto values = config.doubles_or(key, {});
  if (static_cast<int64_t>(values.size()) != channels) config.reject(key, "one per latent channel");
  return values;
}

}  // namespace

AutoencoderKlConfig AutoencoderKlConfig::from(const io::Config& config) {
  AutoencoderKlConfig result;
  result.in_channels = config.positive_or("in_channels", result.in_channels);
  result.out_channels = config.positive_or("out_channels", result.out_channels);
  result.block_out_channels = config.int64s_or("block_out_channels", result.block_out_channels);
  result.layers_per_block = config.positive_or("layers_per_block", result.layers_per_block);
  result.latent_channels = config.positive_or("latent_channels", result.latent_channels);
  result.norm_num_groups = config.positive_or("norm_num_groups", result.norm_num_groups);
  const auto sample_size = config.int64s_or("sample_size", {result.sample_size});
  if (sample_size.empty() || sample_size.front() < 1)
    config.reject("sample_size", "a positive integer");
  result.sample_size = sample_size.front();
  result.use_quant_conv = config.bool_or("use_quant_conv", result.use_quant_conv);
  result.use_post_quant_conv = config.bool_or("use_post_quant_conv", result.use_post_quant_conv);
  result.mid_block_add_attention =
      config.bool_or("mid_block_add_attention", result.mid_block_add_attention);
  result.force_upcast = config.bool_or("force_upcast", result.force_upcast);
  result.scaling_factor = config.double_or("scaling_factor", result.scaling_factor);
  if (config.has("shift_factor")) result.shift_factor = config.double_or("shift_factor", 0.0);
  result.latents_mean = per_channel(config, "latents_mean", result.latent_channels);
  result.latents_std = per_channel(config, "latents_std", result.latent_channels);

  if (result.block_out_channels.empty() || result.block_out_channels.size() > kMaxBlocks)
    config.reject("block_out_channels", "1 to 16 widths");
  for (const int64_t width : result.block_out_channels)
    if (width < 1) config.reject("block_out_channels", "positive widths");
  require_block_types(config, "down_block_types", "DownEncoderBlock2D",
                      result.block_out_channels.size());
  require_block_types(config, "up_block_types", "UpDecoderBlock2D",
                      result.block_out_channels.size());
  if (nn::find_activation(config.string_or("act_fn", "silu")) != nn::Activation::Silu)
    config.require("act_fn", "silu");
  return result;
}

}  // namespace sdrbee::vae
