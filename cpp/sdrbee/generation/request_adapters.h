// What of a request changes or steers the model.
#pragma once

#include "sdrbee/generation/request.h"
#include "sdrbee/models/model_info.h"

namespace sdrbee {

/// Checks controls, LoRAs and textual inversions, and fills in what follows from the rest of the
/// request: the source for controls that repaint, the words of `embeddings_dir` that stand in the
/// prompts, and their hashes. Throws InvalidRequest naming the field; for files of words
/// CheckpointError.
void resolve_adapters(GenerationRequest& request, const Capabilities& can);

}  // namespace sdrbee
