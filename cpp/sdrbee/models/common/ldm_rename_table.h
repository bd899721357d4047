// The names that the original Stable Diffusion code ("latent diffusion models") gives to weights,
// as rules that turn them into those of diffusers and transformers.
// https://github.com/CompVis/stable-diffusion
#pragma once

#include <cstdint>
#include <vector>

#include "sdrbee/io/renamed_weights.h"

namespace sdrbee::ldm {

/// What decides how the UNet's flat list of blocks is cut into levels.
struct UnetLayout {
  int64_t levels = 4;
  int64_t layers_per_block = 2;
};

/// The layout of a UNet, or of the first half of one, in the original names without prefix.
UnetLayout unet_layout(const io::WeightSource& unet);

/// Rules for names without the "model.diffusion_model." prefix.
std::vector<io::RenameRule> unet_rules(const UnetLayout& layout);

/// Rules for a ControlNet's names without the "control_model." prefix.
/// https://github.com/lllyasviel/ControlNet/blob/main/cldm/cldm.py
std::vector<io::RenameRule> controlnet_rules(const UnetLayout& layout);

/// Rules for an autoencoder of `levels` resolutions with `layers_per_block` residual blocks each in
/// the encoder (one more in the decoder), for names without the "first_stage_model." prefix.
std::vector<io::RenameRule> vae_rules(int64_t levels, int64_t layers_per_block);

/// Rules for OpenCLIP's text transformer of `layers` blocks. Stable Diffusion 2 drops block 23, the
/// last one, and has no use for the projection: `penultimate_only`.
std::vector<io::RenameRule> open_clip_rules(int64_t layers, bool penultimate_only);

}  // namespace sdrbee::ldm
