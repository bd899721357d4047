// The configuration of AutoencoderKL.
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/io/json.h"

namespace sdrbee::vae {

/// The sizes of an autoencoder; names and defaults as in diffusers' AutoencoderKL.
struct AutoencoderKlConfig {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  std::vector<int64_t> block_out_channels = {64};
  int64_t layers_per_block = 1;
  int64_t latent_channels = 4;
  int64_t norm_num_groups = 32;
  int64_t sample_size = 32;  ///< pixels on a side of the pictures that it was trained on
  bool use_quant_conv = true;
  bool use_post_quant_conv = true;
  bool mid_block_add_attention = true;
  bool force_upcast = true;  ///< overflows in fp16

  /// The denoiser works on (latents - shift_factor) * scaling_factor, or, where both lists are
  /// given, on (latents - latents_mean) * scaling_factor / latents_std per channel.
  double scaling_factor = 0.18215;
  std::optional<double> shift_factor = std::nullopt;
  std::optional<std::vector<double>> latents_mean = std::nullopt;
  std::optional<std::vector<double>> latents_std = std::nullopt;

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for
  /// another kind of block.
  static AutoencoderKlConfig from(const io::Config& config);

  /// Pixels per latent cell on a side.
  int64_t downscale() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

}  // namespace sdrbee::vae
