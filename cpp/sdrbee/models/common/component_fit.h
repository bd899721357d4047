// Checks that the components of a checkpoint belong together.
#pragma once

#include <span>

#include "sdrbee/io/checkpoint.h"

namespace sdrbee {

/// The UNet's `cross_attention_dim` must be the width of the text: the sum of the encoders'
/// `hidden_size`. Throws CheckpointError naming the files, the fields and both numbers.
void check_text_width(const io::Component& unet, std::span<const io::Component* const> encoders);

/// The UNet's `in_channels` and `out_channels` must be the autoencoder's `latent_channels`; an
/// inpainting network also takes a mask and the latents of the masked picture. Pictures must have
/// three channels. Throws CheckpointError as above.
void check_latent_channels(const io::Component& unet, const io::Component& vae);

}  // namespace sdrbee
