// What the network is given beside the latents: parts of begin that restore and the second pass
// need too.
#pragma once

#include "sdrbee/generation/generation.h"

namespace sdrbee {

/// Hands what the network is shown beside the latents to all rows.
void attach_pictures(Generation& generation);

/// Makes the conditions those of the step that is next, for prompts that change.
void choose_conditions(Generation& generation);

/// Encodes the prompts of a generation that was read back, and opens its control networks.
void restore_conditions(ImageModel& model, Generation& generation);

}  // namespace sdrbee
