// Stable Diffusion XL (Podell et al. 2023, arXiv:2307.01952), base and refiner, and models
// distilled from it: Turbo (Sauer et al. 2023, arXiv:2311.17042), Lightning (Lin et al. 2024,
// arXiv:2402.13929), LCM (Luo et al. 2023, arXiv:2310.04378).
#pragma once

#include <memory>
#include <span>

#include "sdrbee/models/registry.h"

namespace sdrbee::sdxl {

/// The variants of the family.
std::span<const VariantRow> variants();

/// Whether the checkpoint is a Stable Diffusion XL pipeline.
bool recognises(const io::Checkpoint& checkpoint);

/// What the checkpoint is and can do, from configurations and headers alone.
/// Throws CheckpointError when its components do not belong together.
ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// Builds tokenizers, text encoders, UNet and autoencoder from the checkpoint.
/// Throws CheckpointError or UnsupportedModel.
std::unique_ptr<ImageModel> load(Sealed, const io::Checkpoint& checkpoint,
                                 const LoadOptions& options);

}  // namespace sdrbee::sdxl
