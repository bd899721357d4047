// The configuration of FLUX's network.
#pragma once

#include <cstdint>
#include <vector>

#include "sdrbee/io/json.h"

namespace sdrbee::flux {

/// FluxTransformer2DModel's config.json.
struct TransformerConfig {
  int64_t in_channels = 64;   ///< of a token: 2x2 latent cells, and what is put beside them
  int64_t out_channels = 64;  ///< of a token
  int64_t num_layers = 19;
  int64_t num_single_layers = 38;
  int64_t attention_head_dim = 128;
  int64_t num_attention_heads = 24;
  int64_t joint_attention_dim = 4096;   ///< channels of the text's tokens
  int64_t pooled_projection_dim = 768;  ///< channels of the pooled text
  bool guidance_embeds = false;         ///< the network takes the guidance scale
  /// Channels of a head that each axis of a position turns: picture, row, column.
  std::vector<int64_t> axes_dims_rope = {16, 56, 56};

  int64_t width() const { return num_attention_heads * attention_head_dim; }

  /// Throws CheckpointError for impossible values, UnsupportedModel for options that nothing here
  /// computes.
  static TransformerConfig from(const io::Config& json);
};

}  // namespace sdrbee::flux
