// The configuration of T2IAdapter.
#pragma once

#include <string>
#include <vector>

#include "sdrbee/io/weight_source.h"
#include "sdrbee/models/common/unet_2d_condition_config.h"

namespace sdrbee::control {

/// The step from one feature to the next.
struct AdapterBlockShape {
  int64_t in = 0;       ///< channels
  int64_t out = 0;      ///< channels of the feature
  bool halves = false;  ///< the resolution is half of that before
};

/// The sizes of a T2I-Adapter, worked out from config.json; keys and defaults are those of
/// diffusers.
struct T2iAdapterConfig {
  int64_t image_channels = 3;             ///< in_channels: 3, or 1 for grey pictures
  int64_t downscale = 8;                  ///< downscale_factor: pixels a side of the first cells
  int64_t res_blocks = 2;                 ///< num_res_blocks
  bool light = false;                     ///< adapter_type is "light_adapter"
  std::vector<AdapterBlockShape> blocks;  ///< one for each feature

  /// Reads config.json. Throws CheckpointError for malformed values and UnsupportedModel for an
  /// unknown adapter_type.
  static T2iAdapterConfig from(const io::Config& config);

  /// Channels of the picture with squares of `downscale` pixels in the place of pixels.
  int64_t unshuffled_channels() const { return image_channels * downscale * downscale; }
};

/// The model that an adapter adds to: what its down blocks put out.
struct AdapterPlace {
  std::vector<int64_t> widths;  ///< channels, by down block
  std::vector<int64_t> cells;   ///< pixels a side of a cell where a feature is added, likewise

  /// `latent_cell` is the side of a latent cell in pixels.
  static AdapterPlace of(const Unet2DConditionConfig& unet, int64_t latent_cell);
};

/// The configuration that a file's tensors, in the names of diffusers, tell for a model.
/// Throws CheckpointError when they are no whole adapter, and InvalidRequest when it is for another
/// kind of model.
io::Config told_adapter_config(const io::WeightSource& weights, const AdapterPlace& place);

/// Throws InvalidRequest when the features don't fit the down blocks. `origin` names the adapter.
void check_fit(const T2iAdapterConfig& adapter, const AdapterPlace& place,
               const std::string& origin);

}  // namespace sdrbee::control
