// The second pass of a picture that is made small first and then again at its full size.
#pragma once

#include "sdrbee/generation/generation.h"

namespace sdrbee {

/// The size of the second pass, a multiple of what the model takes.
PixelSize hires_size(const GenerationRequest& request, const ModelInfo& info);

/// The size of the picture of the pass that a generation is in.
PixelSize size_of_pass(const Generation& generation, const ModelInfo& info);

/// Goes over to the second pass: enlarges what the first one made, raises it with new noise to the
/// level at which the denoising strength begins, and lays the steps out anew.
void begin_second_pass(ImageModel& model, Generation& generation);

}  // namespace sdrbee
