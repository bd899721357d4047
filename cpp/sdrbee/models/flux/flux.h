// FLUX.1 (Black Forest Labs 2024, arXiv:2506.15742 for Kontext): a rectified-flow transformer over
// the tokens of text and picture (Esser et al. 2024, arXiv:2403.03206).
#pragma once

#include <memory>

#include "sdrbee/models/flux/config.h"

namespace sdrbee::flux {

/// Whether the checkpoint is a FLUX.1 pipeline.
bool recognises(const io::Checkpoint& checkpoint);

/// What the checkpoint is and can do, from configurations and headers alone.
/// Throws CheckpointError when its components do not belong together.
ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// Builds tokenizers, text encoders, transformer and autoencoder from the checkpoint.
/// Throws CheckpointError or UnsupportedModel.
std::unique_ptr<ImageModel> load(Sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options);

}  // namespace sdrbee::flux
