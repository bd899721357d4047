// Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206).
#pragma once

#include <memory>
#include <span>

#include "sdrbee/models/registry.h"

namespace sdrbee::sd3 {

/// The variants of the family.
std::span<const VariantRow> variants();

/// Whether the checkpoint is a Stable Diffusion 3 pipeline.
bool recognises(const io::Checkpoint& checkpoint);

/// What the checkpoint is and can do, from configurations and headers alone.
/// Throws CheckpointError when its components do not belong together.
ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// Builds tokenizers, text encoders, transformer and autoencoder from the checkpoint.
/// Throws CheckpointError or UnsupportedModel.
std::unique_ptr<ImageModel> load(Sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options);

}  // namespace sdrbee::sd3
