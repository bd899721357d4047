// Single-file checkpoints of FLUX.1 in the naming of Black Forest Labs.
#pragma once

#include "sdrbee/io/checkpoint.h"

namespace sdrbee::flux {

/// Recognises "double_blocks..." files, with and without the prefix "model.diffusion_model.", and
/// gives the transformer, and what else the file has of vae, text_encoder and text_encoder_2, as a
/// diffusers folder of the model would have them. What the tensors tell is read off them; the rest
/// is what the published folders say. Throws UnsupportedModel for FLUX.2 and Chroma, whose networks
/// share names with FLUX.1's.
extern const io::SingleFileFormat kSingleFileFormat;

}  // namespace sdrbee::flux
