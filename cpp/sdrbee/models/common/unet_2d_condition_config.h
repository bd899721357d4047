// The configuration of UNet2DConditionModel.
#pragma once

#include <optional>
#include <vector>

#include "sdrbee/io/json.h"

namespace sdrbee {

/// One block of a UNet: residual blocks at one resolution, with or without transformers.
struct UnetBlockConfig {
  int64_t channels = 0;
  int64_t layers = 0;  ///< number of residual blocks
  /// Transformer layers after each residual block; empty for blocks without attention.
  std::vector<int64_t> transformer_layers;
  int64_t heads = 1;
  int64_t cross_attention_dim = 1280;
  bool only_cross_attention = false;  ///< both attentions of a layer look at the context

  bool has_attention() const { return !transformer_layers.empty(); }
};

/// Size and crop of the picture and the pooled text as a second embedding (`text_time` of SDXL).
struct AdditionEmbeddingConfig {
  int64_t time_width = 256;  ///< addition_time_embed_dim
  int64_t input_width = 0;   ///< projection_class_embeddings_input_dim
};

/// The sizes of a UNet, worked out from config.json; keys and defaults are those of diffusers.
struct Unet2DConditionConfig {
  int64_t in_channels = 4;
  int64_t out_channels = 4;
  std::vector<UnetBlockConfig> down_blocks;
  std::optional<UnetBlockConfig> mid_block;  ///< nothing: there is none
  std::vector<UnetBlockConfig> up_blocks;    ///< from the lowest resolution up
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  bool downsample_all_sides = true;  ///< downsample_padding is 1
  int64_t conv_in_kernel = 3;
  int64_t conv_out_kernel = 3;
  bool flip_sin_to_cos = true;
  double freq_shift = 0.0;
  int64_t time_embedding_dim = 0;  ///< four times the first width unless the file says otherwise
  std::optional<int64_t> time_cond_proj_dim = std::nullopt;  ///< width of a guidance embedding
  std::optional<AdditionEmbeddingConfig> addition = std::nullopt;

  /// Reads config.json. Throws CheckpointError for malformed values and UnsupportedModel, naming
  /// key and value, for options that the models here do not use.
  static Unet2DConditionConfig from(const io::Config& config);

  /// Latent sizes need not be multiples of this, but work is saved when they are.
  int64_t downscale() const { return int64_t{1} << (down_blocks.size() - 1); }
};

}  // namespace sdrbee
