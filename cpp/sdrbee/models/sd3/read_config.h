// The configuration of Stable Diffusion 3's network, read off its tensors.
#pragma once

#include "sdrbee/models/common/read_config.h"

namespace sdrbee::sd3 {

/// SD3Transformer2DModel, for diffusers' names; what no tensor tells is that of
/// https://huggingface.co/stabilityai/stable-diffusion-3-medium-diffusers.
/// Throws CheckpointError naming the file and the tensor when it is not a whole network.
ReadConfig read_transformer_config(const io::WeightSource& weights);

}  // namespace sdrbee::sd3
