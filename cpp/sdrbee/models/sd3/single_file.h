// Single-file checkpoints in the original naming of Stable Diffusion 3 and 3.5.
#pragma once

#include "sdrbee/io/checkpoint.h"

namespace sdrbee::sd3 {

/// Recognises "joint_blocks..." files, with or without "model.diffusion_model.", and gives
/// transformer, vae, text encoders, tokenizers and scheduler as a diffusers folder of the model
/// would have them. What the tensors tell is read off them; the rest is what the published folders
/// say. Files without text encoders are usual; those of 8-bit weights are taken with their scales.
extern const io::SingleFileFormat kSingleFileFormat;

}  // namespace sdrbee::sd3
