// The variants of Stable Diffusion XL, and their defaults.
#pragma once

#include <span>

#include "sdrbee/models/common/unet_variant.h"

namespace sdrbee::sdxl {

/// The table of variants; a checkpoint is of the first one that matches.
std::span<const UnetVariant> unet_variants();

/// The same table as FamilyRow wants it.
std::span<const VariantRow> variants();

}  // namespace sdrbee::sdxl
