// Weights that are stored as small numbers and a scale each.
#pragma once

#include <memory>

#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// The weights with their scales applied: `x.weight` is multiplied by the tensor `x.scale_weight`
/// or `x.weight_scale` beside it, one number or one a row, as ComfyUI and NVIDIA ModelOpt write
/// 8-bit checkpoints; it is then read as fp32. Scales, and what else such files hold for
/// multiplying in 8 bits (scales of activations, the marker `scaled_fp8`), are not offered.
/// A source without scales is returned as it is.
/// Throws CheckpointError for a scale of another shape or without its weight.
std::shared_ptr<const WeightSource> with_scales(std::shared_ptr<const WeightSource> source);

}  // namespace sdrbee::io
