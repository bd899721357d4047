// How a ControlNet that follows pictures of several types is told which one it sees.
// https://github.com/xinsir6/ControlNetPlus
#pragma once

#include <string>
#include <vector>

#include "sdrbee/control/clip_layer.h"
#include "sdrbee/control/controlnet_config.h"
#include "sdrbee/nn/linear.h"
#include "sdrbee/nn/timestep.h"

namespace sdrbee::control {

/// The index of a type by its name, for a network of so many.
/// Throws InvalidRequest that names those it has.
int64_t find_control_type(const std::string& name, int64_t count);

/// The parts of diffusers' ControlNetUnionModel that know of types, for one picture at a time.
class TypeFusion {
 public:
  TypeFusion(const io::WeightScope& scope, const ControlNetConfig& config);

  /// What the type adds to the time embedding, [1, time].
  Tensor time_embedding(int64_t type) const;

  /// `x` with the picture's features added as their type asks for, all [B, C, h, w].
  Tensor operator()(const Tensor& x, const Tensor& features, int64_t type) const;

 private:
  TypeFusionConfig config_;
  nn::SinusoidalOptions layout_;
  Tensor task_embedding_;  // [types, C]
  std::vector<ClipLayer> transformer_layes_;
  nn::Linear spatial_ch_projs_;
  nn::TimestepEmbedding control_add_embedding_;
};

}  // namespace sdrbee::control
