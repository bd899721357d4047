// Single files of Z-Image: the network in its original naming, alone or with the other components.
#pragma once

#include "sdrbee/io/checkpoint.h"

namespace sdrbee::z_image {

/// Files with Z-Image's network under no prefix or "model.diffusion_model.", autoencoder ("vae.")
/// and text encoder ("text_encoders.qwen3_4b.transformer.") as ComfyUI's checkpoints have them.
extern const io::SingleFileFormat kSingleFileFormat;

}  // namespace sdrbee::z_image
