#include "sdrbee/models/sdxl/config.h"

namespace sdrbee::sdxl {
namespace {

// Steps, guidance and strength of diffusers' StableDiffusionXL*Pipeline, ...
constexpr ModeDefaults kTextToImage{50, 5.0, 1.0};
constexpr ModeDefaults kImageToImage{50, 5.0, 0.3};
constexpr ModeDefaults kInpaint{50, 7.5, 0.9999};
// ... of https://huggingface.co/stabilityai/sdxl-turbo, ...
constexpr ModeDefaults kTurbo{1, 0.0, 1.0};
constexpr ModeDefaults kTurboImageToImage{2, 0.0, 0.5};
// ... of https://huggingface.co/ByteDance/SDXL-Lightning, ...
constexpr ModeDefaults kLightning{4, 0.0, 1.0};
constexpr ModeDefaults kLightningImageToImage{4, 0.0, 0.5};
// ... and of https://huggingface.co/latent-consistency/lcm-sdxl
constexpr ModeDefaults kLcm{4, 8.0, 1.0};
constexpr ModeDefaults kLcmImageToImage{4, 8.0, 0.5};

bool few_steps(const UnetFacts& facts, std::string_view scheduler_class) {
  // Models for v-prediction have trailing timesteps for another reason: zero terminal SNR.
  return facts.trailing && facts.prediction == "epsilon" &&
         facts.scheduler_class == scheduler_class;
}

bool is_plain(const UnetFacts& facts) {
  return !facts.aesthetic_score && !facts.native_inpaint && !facts.distilled_guidance;
}

constexpr std::array kVariants = {
    UnetVariant{{"xl-refiner", "finishes pictures of xl: one text encoder, aesthetic score",
                 "sdxl-refiner stable-diffusion-xl-v1-refiner stable-diffusion-xl-refiner-1.0"},
                [](const UnetFacts& facts) { return facts.aesthetic_score; },
                kTextToImage,
                kImageToImage,
                kInpaint},
    UnetVariant{{"xl-inpaint", "XL with mask and masked picture as inputs of the network",
                 "sdxl-inpaint stable-diffusion-xl-1.0-inpainting-0.1"},
                [](const UnetFacts& facts) { return facts.native_inpaint; },
                kTextToImage,
                kImageToImage,
                kInpaint},
    UnetVariant{{"xl-lcm", "XL distilled to few steps (LCM), guidance as an input", "sdxl-lcm"},
                [](const UnetFacts& facts) { return facts.distilled_guidance; },
                kLcm,
                kLcmImageToImage,
                kLcm,
                "LCMScheduler"},
    UnetVariant{
        {"turbo", "XL distilled to 1 to 4 steps without guidance, 512 pixels",
         "xl-turbo sdxl-turbo stable-diffusion-xl-turbo-v1"},
        is_plain,
        kTurbo,
        kTurboImageToImage,
        kTurboImageToImage,
        "EulerAncestralDiscreteScheduler",
        "trailing",
        64,
        {},
        [](const UnetFacts& facts) { return few_steps(facts, "EulerAncestralDiscreteScheduler"); }},
    UnetVariant{{"xl-lightning", "XL distilled to 2 to 8 steps without guidance",
                 "lightning sdxl-lightning"},
                is_plain,
                kLightning,
                kLightningImageToImage,
                kLightning,
                "EulerDiscreteScheduler",
                "trailing",
                0,
                {},
                [](const UnetFacts& facts) { return few_steps(facts, "EulerDiscreteScheduler"); }},
    UnetVariant{{"xl", "XL: text encoders CLIP-L and OpenCLIP-bigG, 1024 pixels",
                 "sdxl stable-diffusion-xl-v1-base stable-diffusion-xl-base-1.0"},
                is_plain,
                kTextToImage,
                kImageToImage,
                kInpaint,
                {},
                {},
                0,
                "turbo and xl-lightning"},
};

constexpr auto kRows = variant_rows(kVariants);

}  // namespace

std::span<const UnetVariant> unet_variants() { return kVariants; }
std::span<const VariantRow> variants() { return kRows; }

}  // namespace sdrbee::sdxl
