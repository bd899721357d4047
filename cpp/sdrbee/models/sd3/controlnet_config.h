// The configuration of Stable Diffusion 3's ControlNets.
#pragma once

#include <string>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_source.h"
#include "sdrbee/models/sd3/transformer_config.h"

namespace sdrbee::sd3 {

/// SD3ControlNetModel's config.json; keys and defaults are those of diffusers.
struct ControlNetConfig {
  TransformerConfig transformer;
  bool sees_text = true;    ///< joint_attention_dim is not null
  bool own_patches = true;  ///< use_pos_embed; else the transformer's embedding of patches is used
  bool has_positions = true;  ///< pos_embed_type is not null
  bool sees_mask = false;     ///< extra_conditioning_channels is 1: for networks that repaint
  /// force_zeros_for_pooled_projection: the network is given no pooled text, and pictures without
  /// the autoencoder's shift.
  bool without_pooled = true;

  /// Pooled text is left out; diffusers' pipeline for networks that repaint always does so.
  bool zero_pooled() const { return without_pooled || sees_mask; }
  /// Pictures are latents without the shift; in that pipeline they have it.
  bool without_shift() const { return without_pooled && !sees_mask; }

  /// Throws CheckpointError for malformed values, and UnsupportedModel, naming key and value, for
  /// options that no published network uses.
  static ControlNetConfig from(const io::Config& config);
};

/// What the tensors of a lone file in the names of diffusers tell; all else is as in `base`, the
/// transformer's configuration, or as published: a network without text is one of Stability AI's
/// for 3.5 large, with pooled text. Throws CheckpointError naming file and tensor.
io::Config read_controlnet_config(const io::WeightSource& weights, const io::Config& base);

/// Throws InvalidRequest, saying what the ControlNet is for, when it does not fit beside a
/// transformer. `origin` names the ControlNet.
void check_fit(const ControlNetConfig& control, const TransformerConfig& base,
               const std::string& origin);

}  // namespace sdrbee::sd3
