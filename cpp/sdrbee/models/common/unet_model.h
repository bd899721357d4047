// What all families with a UNet share: from a checkpoint and a table of variants to a model.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "sdrbee/models/common/latent_model.h"
#include "sdrbee/models/common/unet_variant.h"

namespace sdrbee {

/// Info of the checkpoint as the table of the family has it.
/// Throws CheckpointError when text encoders, UNet and autoencoder do not belong together.
ModelInfo describe_unet_model(const io::Checkpoint& checkpoint, const LoadOptions& options,
                              std::string_view family, std::span<const UnetVariant> variants);

/// Loads "unet" and, unless `parts` has an autoencoder, "vae"; the family has filled in the rest.
/// Throws CheckpointError or UnsupportedModel.
std::unique_ptr<ImageModel> make_unet_model(Sealed, const io::Checkpoint& checkpoint,
                                            const LoadOptions& options, LatentModelParts parts);

}  // namespace sdrbee
