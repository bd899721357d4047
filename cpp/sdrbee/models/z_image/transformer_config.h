// The configuration of Z-Image's network.
#pragma once

#include <vector>

#include "sdrbee/io/json.h"

namespace sdrbee::z_image {

/// Latent cells on a side of a token.
inline constexpr int64_t kPatch = 2;

/// Text and picture are filled up to multiples of so many tokens.
inline constexpr int64_t kTokensMultiple = 32;

/// The sizes of a network; names and defaults as in diffusers' ZImageTransformer2DModel.
struct TransformerConfig {
  int64_t in_channels = 16;  ///< of the latents, also those given
  int64_t dim = 3840;
  int64_t n_layers = 30;
  int64_t n_refiner_layers = 2;
  int64_t n_heads = 30;
  double norm_eps = 1e-5;
  bool qk_norm = true;
  int64_t cap_feat_dim = 2560;  ///< channels of the text
  double rope_theta = 256.0;
  double t_scale = 1000.0;
  std::vector<int64_t> axes_dims = {32, 48, 48};      ///< channels of a head that an axis turns
  std::vector<int64_t> axes_lens = {1024, 512, 512};  ///< positions on an axis

  int64_t head_width() const { return dim / n_heads; }
  /// Tokens of a text that there are positions for, fillers included.
  int64_t most_text_tokens() const;
  /// Channels of the embedded timestep.
  int64_t time_width() const;

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for other
  /// patches or a picture encoder.
  static TransformerConfig from(const io::Config& config);
};

}  // namespace sdrbee::z_image
