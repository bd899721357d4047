// What tells the variants of Stable Diffusion apart, and their defaults.
#pragma once

#include <array>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::stable_diffusion {

inline constexpr std::array kVariants = {
    VariantRow{"v1-5", "1.x: CLIP-L text encoder, epsilon prediction"},
    VariantRow{"v2-1-base", "2.x at 512 pixels: OpenCLIP-H text encoder, epsilon prediction"},
    VariantRow{"v2-1", "2.x at 768 pixels: OpenCLIP-H text encoder, v-prediction"},
    VariantRow{"custom", "the same architecture in other widths"},
};

/// Steps, guidance and strength of diffusers' StableDiffusion*Pipeline.
inline constexpr ModeDefaults kTextToImage{50, 7.5, 1.0};
inline constexpr ModeDefaults kImageToImage{50, 7.5, 0.8};
inline constexpr ModeDefaults kInpaint{50, 7.5, 1.0};

/// Architecture, variant, sizes and defaults as the checkpoint's configurations tell them. A file
/// `sdrbee.json` in the model's folder may replace defaults:
/// {"defaults": {"steps": 20, "guidance_scale": 3, "width": 128, "height": 128}}.
ModelInfo describe(const io::Checkpoint& checkpoint, const LoadOptions& options);

}  // namespace sdrbee::stable_diffusion
