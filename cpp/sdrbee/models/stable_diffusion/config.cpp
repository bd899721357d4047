#include "sdrbee/models/stable_diffusion/config.h"

namespace sdrbee::stable_diffusion {
namespace {

constexpr int64_t kClipLWidth = 768;
constexpr int64_t kOpenClipHWidth = 1024;

// Steps, guidance and strength of diffusers' StableDiffusion*Pipeline, ...
constexpr ModeDefaults kTextToImage{50, 7.5, 1.0};
constexpr ModeDefaults kImageToImage{50, 7.5, 0.8};
constexpr ModeDefaults kInpaint{50, 7.5, 1.0};
// ... of its LatentConsistencyModelPipeline, ...
constexpr ModeDefaults kLcm{4, 8.5, 1.0};
constexpr ModeDefaults kLcmImageToImage{4, 8.5, 0.8};
// ... and of https://huggingface.co/stabilityai/sd-turbo
constexpr ModeDefaults kTurbo{1, 0.0, 1.0};
constexpr ModeDefaults kTurboImageToImage{2, 0.0, 0.5};

bool is_v1(const UnetFacts& facts) { return facts.context_width == kClipLWidth; }
bool is_v2(const UnetFacts& facts) { return facts.context_width == kOpenClipHWidth; }
bool is_plain_v2(const UnetFacts& facts) { return is_v2(facts) && !facts.native_inpaint; }

constexpr std::array kVariants = {
    UnetVariant{
        {"v1-5-inpaint", "1.x with mask and masked picture as inputs of the network",
         "v1.5-inpaint sd1.5-inpaint stable-diffusion-v1/inpaint stable-diffusion-inpainting"},
        [](const UnetFacts& facts) { return is_v1(facts) && facts.native_inpaint; },
        kTextToImage,
        kImageToImage,
        kInpaint},
    UnetVariant{{"v1-5-lcm", "1.x distilled to few steps (LCM), guidance as an input",
                 "LCM_Dreamshaper_v7"},
                [](const UnetFacts& facts) { return is_v1(facts) && facts.distilled_guidance; },
                kLcm,
                kLcmImageToImage,
                kLcm,
                "LCMScheduler"},
    UnetVariant{{"v1-5", "1.x: CLIP-L text encoder, epsilon prediction",
                 "v1.5 1.5 sd1.5 stable-diffusion-v1 stable-diffusion-v1-5"},
                [](const UnetFacts& facts) {
                  return is_v1(facts) && !facts.native_inpaint && !facts.distilled_guidance;
                },
                kTextToImage,
                kImageToImage,
                kInpaint},
    UnetVariant{
        {"v2-inpaint", "2.x with mask and masked picture as inputs of the network",
         "v2.1-inpaint sd2-inpaint stable-diffusion-v2/inpaint stable-diffusion-2-inpainting"},
        [](const UnetFacts& facts) { return is_v2(facts) && facts.native_inpaint; },
        kTextToImage,
        kImageToImage,
        kInpaint,
        "PNDMScheduler",
        {},
        64},
    UnetVariant{{"v2-1", "2.x at 768 pixels: OpenCLIP-H text encoder, v-prediction",
                 "v2.1 2.1 sd2.1 stable-diffusion-v2-768-v stable-diffusion-2-1"},
                is_plain_v2,
                kTextToImage,
                kImageToImage,
                kInpaint,
                "DDIMScheduler",
                {},
                96,
                {},
                [](const UnetFacts& facts) { return facts.prediction == "v_prediction"; }},
    UnetVariant{{"sd-turbo", "2.1 distilled to 1 to 4 steps without guidance"},
                is_plain_v2,
                kTurbo,
                kTurboImageToImage,
                kTurboImageToImage,
                "EulerDiscreteScheduler",
                "trailing",
                64,
                {},
                [](const UnetFacts& facts) { return facts.trailing; }},
    UnetVariant{{"v2-1-base", "2.x at 512 pixels: OpenCLIP-H text encoder, epsilon prediction",
                 "v2.1-base sd2.1-base stable-diffusion-v2-512 stable-diffusion-2-1-base"},
                is_plain_v2,
                kTextToImage,
                kImageToImage,
                kInpaint,
                "PNDMScheduler",
                {},
                64,
                "sd-turbo"},
    UnetVariant{{"custom", "the same architecture in other widths"},
                [](const UnetFacts&) { return true; },
                kTextToImage,
                kImageToImage,
                kInpaint},
};

constexpr auto kRows = variant_rows(kVariants);

}  // namespace

std::span<const UnetVariant> unet_variants() { return kVariants; }
std::span<const VariantRow> variants() { return kRows; }

}  // namespace sdrbee::stable_diffusion
