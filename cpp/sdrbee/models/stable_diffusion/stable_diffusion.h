// Stable Diffusion 1.x and 2.x (Rombach et al. 2022, arXiv:2112.10752).
#pragma once

#include <memory>
#include <span>

#include "sdrbee/models/registry.h"

namespace sdrbee::stable_diffusion {

/// The variants of the family.
std::span<const VariantRow> variants();

/// Whether the checkpoint is a Stable Diffusion pipeline with one text encoder.
bool recognises(const io::Checkpoint& checkpoint);

/// What the checkpoint is and can do, from configurations and headers alone.
/// Throws CheckpointError when its components do not belong together.
ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// Builds tokenizer, text encoder, UNet and autoencoder from the checkpoint.
/// Throws CheckpointError or UnsupportedModel.
std::unique_ptr<ImageModel> load(Sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options);

}  // namespace sdrbee::stable_diffusion
