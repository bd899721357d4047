// The configuration of FLUX's ControlNets.
#pragma once

#include <string>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_source.h"
#include "sdrbee/models/flux/transformer_config.h"

namespace sdrbee::flux {

/// FluxControlNetModel's config.json; keys and defaults are those of diffusers.
struct ControlNetConfig {
  TransformerConfig transformer;
  int64_t modes = 0;  ///< num_mode: types of pictures that a union ControlNet follows; 0: one
  /// conditioning_embedding_channels: of what convolutions make of a picture, as in XLabs'
  /// networks; 0: pictures are encoded by the autoencoder.
  int64_t hint_channels = 0;

  /// Throws CheckpointError for malformed values, and UnsupportedModel, naming key and value, for
  /// options that no published network uses.
  static ControlNetConfig from(const io::Config& config);
};

/// What the tensors of a lone file in the names of diffusers tell; all else is as in `base`, the
/// transformer's configuration. Throws CheckpointError naming file and tensor.
io::Config read_controlnet_config(const io::WeightSource& weights, const io::Config& base);

/// Throws InvalidRequest, saying what the ControlNet is for, when it does not fit beside a
/// transformer. `origin` names the ControlNet.
void check_fit(const ControlNetConfig& control, const TransformerConfig& base,
               const std::string& origin);

/// The mode of a union ControlNet of `count` modes that a picture's type names. Throws
/// InvalidRequest with those it has.
int64_t find_mode(const std::string& type, int64_t count);

}  // namespace sdrbee::flux
