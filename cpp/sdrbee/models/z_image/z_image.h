// Z-Image: a transformer over one sequence, Qwen3 as text encoder, FLUX.1's autoencoder.
#pragma once

#include <memory>
#include <span>

#include "sdrbee/models/registry.h"
#include "sdrbee/models/z_image/config.h"

namespace sdrbee::z_image {

/// Whether the checkpoint is a Z-Image of a folder or a file.
bool recognises(const io::Checkpoint& checkpoint);

/// What the checkpoint is and can do, from configurations and headers alone.
/// Throws CheckpointError when its components do not belong together.
ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// Throws CheckpointError when a component is missing, damaged or of another model, and
/// UnsupportedModel for a network that nothing here computes.
std::unique_ptr<ImageModel> load(Sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options);

}  // namespace sdrbee::z_image
