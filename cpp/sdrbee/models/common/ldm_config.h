// Configurations of networks in the original Stable Diffusion naming, read off their tensors.
#pragma once

#include "sdrbee/io/json.h"
#include "sdrbee/io/weight_source.h"

namespace sdrbee::ldm {

/// UNet2DConditionModel's config.json for original names without their prefix: depths, widths and
/// kinds of blocks come from the tensors. The number of heads is not in them: 8 where projections
/// are convolutions (Stable Diffusion 1), else 64 channels a head (2.x and XL).
/// Throws CheckpointError naming the file and the tensor when they are not a whole UNet.
io::Config unet_config(const io::WeightSource& weights);

/// AutoencoderKL's config.json for original names without their prefix; without scaling_factor,
/// which no tensor tells.
io::Config vae_config(const io::WeightSource& weights);

/// CLIPTextModel's config.json for names as in transformers, without "text_model.".
io::Config clip_text_config(const io::WeightSource& weights, const std::string& hidden_act);

}  // namespace sdrbee::ldm
