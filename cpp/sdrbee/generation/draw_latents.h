// The first latents of a generation, and the pictures that the network is shown beside them.
#pragma once

#include "sdrbee/generation/generation.h"

namespace sdrbee {

/// Draws them for a generation whose steps are chosen. The order of the draws is that of diffusers'
/// pipelines (docs/generation.md).
void draw_latents(ImageModel& model, Generation& generation);

/// Encodes a picture [1, 3, H, W] of the request with a drawn posterior sample.
Tensor encode_picture(ImageModel& model, Generation& generation, const Tensor& picture);

/// Encodes the control image for a picture of `size`, as further input channels.
void show_control_image(ImageModel& model, Generation& generation, PixelSize size);

}  // namespace sdrbee
