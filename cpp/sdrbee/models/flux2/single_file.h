// Single files of FLUX.2 klein: the network in its original naming, alone or with the text encoder.
#pragma once

#include "sdrbee/io/checkpoint.h"

namespace sdrbee::flux2 {

/// Files with FLUX.2's network under no prefix or "model.diffusion_model.". The autoencoder comes
/// from another place. Throws UnsupportedModel for FLUX.2 dev, which has another text encoder.
extern const io::SingleFileFormat kSingleFileFormat;

}  // namespace sdrbee::flux2
