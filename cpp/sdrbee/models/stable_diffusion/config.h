// The variants of Stable Diffusion 1.x and 2.x, and their defaults.
#pragma once

#include <span>

#include "sdrbee/models/common/unet_variant.h"

namespace sdrbee::stable_diffusion {

/// The table of variants; a checkpoint is of the first one that matches.
std::span<const UnetVariant> unet_variants();

/// The same table as FamilyRow wants it.
std::span<const VariantRow> variants();

}  // namespace sdrbee::stable_diffusion
