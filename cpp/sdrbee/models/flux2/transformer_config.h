// The configuration of FLUX.2's network.
#pragma once

#include <vector>

#include "sdrbee/io/json.h"

namespace sdrbee::flux2 {

/// The sizes of a network; names and defaults as in diffusers' Flux2Transformer2DModel.
struct TransformerConfig {
  int64_t in_channels = 128;
  int64_t out_channels = 128;
  int64_t num_layers = 8;
  int64_t num_single_layers = 48;
  int64_t attention_head_dim = 128;
  int64_t num_attention_heads = 48;
  int64_t joint_attention_dim = 15360;  ///< channels of the text
  int64_t timestep_guidance_channels = 256;
  double mlp_ratio = 3.0;
  std::vector<int64_t> axes_dims_rope = {32, 32, 32, 32};
  double rope_theta = 2000;

  int64_t width() const { return num_attention_heads * attention_head_dim; }
  /// Channels inside of a feed-forward layer.
  int64_t inner() const { return static_cast<int64_t>(static_cast<double>(width()) * mlp_ratio); }

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for
  /// another patch or epsilon, and for a network that is told guidance scales (FLUX.2 dev).
  static TransformerConfig from(const io::Config& config);
};

}  // namespace sdrbee::flux2
