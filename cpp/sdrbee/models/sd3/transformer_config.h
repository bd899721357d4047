// The configuration of Stable Diffusion 3's network.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sdrbee/io/json.h"

namespace sdrbee::sd3 {

/// SD3Transformer2DModel's config.json; defaults as in diffusers.
struct TransformerConfig {
  int64_t sample_size = 128;  ///< latent cells on a side of the training pictures
  int64_t patch_size = 2;     ///< latent cells on a side of a token
  int64_t in_channels = 16;
  int64_t out_channels = 16;
  int64_t num_layers = 18;
  int64_t attention_head_dim = 64;
  int64_t num_attention_heads = 18;
  int64_t joint_attention_dim = 4096;    ///< channels of the text's tokens
  int64_t pooled_projection_dim = 2048;  ///< channels of the pooled text
  int64_t pos_embed_max_size = 96;       ///< tokens on a side of the largest picture
  /// Blocks with a second attention over the picture's tokens alone.
  std::vector<int64_t> dual_attention_layers;
  bool qk_norm = false;  ///< queries and keys are normalised

  int64_t width() const { return num_attention_heads * attention_head_dim; }
  bool has_dual_attention(int64_t layer) const {
    return std::ranges::find(dual_attention_layers, layer) != dual_attention_layers.end();
  }

  /// Reads config.json. Throws CheckpointError for a malformed value and UnsupportedModel for a
  /// norm of queries and keys other than "rms_norm".
  static TransformerConfig from(const io::Config& config);
};

}  // namespace sdrbee::sd3
