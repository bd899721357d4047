// Configurations of the parts of a single file, read off their tensors; what no tensor tells is
// that of the published folders:
// https://huggingface.co/stabilityai/stable-diffusion-3-medium-diffusers
#pragma once

#include <string>

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee::sd3 {

/// Of latents, see AutoencoderKlConfig.
inline constexpr double kScalingFactor = 1.5305;
inline constexpr double kShiftFactor = 0.0609;

/// SD3Transformer2DModel, for original names without their prefix. All of these throw
/// CheckpointError naming the file and the tensor when it is not a whole network.
io::Config read_transformer_config(const io::WeightSource& weights);

/// AutoencoderKL, for names as in diffusers.
io::Config read_autoencoder_config(const io::WeightSource& weights);

/// CLIPTextModelWithProjection, for names as in transformers without "text_model.".
io::Config read_clip_config(const io::WeightSource& weights, const std::string& hidden_act);

/// T5EncoderModel, for names as in transformers.
io::Config read_t5_config(const io::WeightSource& weights);

}  // namespace sdrbee::sd3
