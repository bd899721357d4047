#include "sdrbee/models/flux/config.h"

#include <algorithm>
#include <array>

#include "sdrbee/core/error.h"
#include "sdrbee/models/flux/patches.h"
#include "sdrbee/models/flux/transformer_config.h"
#include "sdrbee/vae/autoencoder_kl_config.h"

namespace sdrbee::flux {
namespace {

// Of diffusers' FluxPipeline, FluxImg2ImgPipeline and FluxInpaintPipeline, ...
constexpr ModeDefaults kTextToImage{28, 3.5, 1.0};
constexpr ModeDefaults kFromImage{28, 7.0, 0.6};
// ... of FluxFillPipeline, ...
constexpr ModeDefaults kFill{50, 30.0, 1.0};
// ... and of the model cards https://huggingface.co/black-forest-labs/FLUX.1-schnell,
// FLUX.1-Canny-dev, FLUX.1-Depth-dev.
constexpr ModeDefaults kSchnell{4, 0.0, 1.0};
constexpr ModeDefaults kSchnellFromImage{4, 0.0, 0.6};
constexpr ModeDefaults kCanny{50, 30.0, 1.0};
constexpr ModeDefaults kCannyFromImage{50, 30.0, 0.6};
constexpr ModeDefaults kDepth{30, 10.0, 1.0};
constexpr ModeDefaults kDepthFromImage{30, 10.0, 0.6};

constexpr Capabilities kGuided = {.guidance = false,
                                  .distilled_guidance = true,
                                  .true_guidance = true,
                                  .prompt_2 = true,
                                  .controlnet = true};
constexpr Capabilities kControlled = {.guidance = false,
                                      .distilled_guidance = true,
                                      .negative_prompt = false,
                                      .prompt_2 = true,
                                      .control_image = true};

bool is_plain(const Facts& facts) { return facts.input_channels == facts.latent_channels; }
bool is_control(const Facts& facts) { return facts.input_channels == 2 * facts.latent_channels; }

constexpr std::array kVariants = {
    Variant{.row = {"flux-schnell", "distilled to 1 to 4 steps, without guidance",
                    "schnell flux.1-schnell flux1-schnell"},
            .matches = [](const Facts& facts) { return is_plain(facts) && !facts.guidance_embeds; },
            .capabilities =
                {.guidance = false, .true_guidance = true, .prompt_2 = true, .controlnet = true},
            .text_to_image = kSchnell,
            .image_to_image = kSchnellFromImage,
            .inpaint = kSchnellFromImage,
            .max_sequence_length = 256},
    Variant{.row = {"flux-kontext", "edits a picture by a prompt",
                    "kontext flux.1-kontext flux.1-kontext-dev"},
            .matches = [](const Facts& facts) { return is_plain(facts) && facts.reference; },
            .capabilities = {.guidance = false,
                             .distilled_guidance = true,
                             .true_guidance = true,
                             .prompt_2 = true,
                             .reference_image = true},
            .text_to_image = kTextToImage,
            .image_to_image = kTextToImage,
            .inpaint = kTextToImage},
    Variant{.row = {"flux-dev", "guidance as an input of the network", "dev flux.1-dev flux1-dev"},
            .matches = is_plain,
            .capabilities = kGuided,
            .text_to_image = kTextToImage,
            .image_to_image = kFromImage,
            .inpaint = kFromImage,
            .looks_like = "flux-kontext"},
    Variant{.row = {"flux-fill", "inpainting, mask and masked picture as inputs of the network",
                    "fill flux.1-fill flux.1-fill-dev"},
            .matches =
                [](const Facts& facts) {
                  return facts.input_channels == 2 * facts.latent_channels + facts.mask_channels;
                },
            .capabilities = {.text_to_image = false,
                             .image_to_image = false,
                             .native_inpaint = true,
                             .guidance = false,
                             .distilled_guidance = true,
                             .negative_prompt = false,
                             .prompt_2 = true},
            .text_to_image = kFill,
            .image_to_image = kFill,
            .inpaint = kFill},
    Variant{.row = {"flux-canny", "follows the edges of a control image",
                    "canny flux.1-canny flux.1-canny-dev"},
            .matches = is_control,
            .capabilities = kControlled,
            .text_to_image = kCanny,
            .image_to_image = kCannyFromImage,
            .inpaint = kCannyFromImage,
            .looks_like = "flux-depth",
            .folders_tell = false},
    Variant{.row = {"flux-depth", "follows the depths of a control image",
                    "depth flux.1-depth flux.1-depth-dev"},
            .matches = is_control,
            .capabilities = kControlled,
            .text_to_image = kDepth,
            .image_to_image = kDepthFromImage,
            .inpaint = kDepthFromImage},
};

constexpr auto kRows = [] {
  std::array<VariantRow, kVariants.size()> rows;
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = kVariants[i].row;
  return rows;
}();

}  // namespace

Facts Facts::of(const io::Checkpoint& checkpoint) {
  const auto network = TransformerConfig::from(checkpoint.component("transformer").config);
  const auto vae = vae::AutoencoderKlConfig::from(checkpoint.component("vae").config);
  return {.input_channels = network.in_channels / (kPatch * kPatch),
          .latent_channels = vae.latent_channels,
          .mask_channels = vae.downscale() * vae.downscale(),
          .guidance_embeds = network.guidance_embeds,
          .reference = checkpoint.pipeline_class().starts_with("FluxKontext")};
}

const Variant& find_variant(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  const Facts facts = Facts::of(checkpoint);
  const std::string& name = options.variant;
  const auto fits = [&](const Variant& one) {
    if (name.empty()) return one.matches(facts);
    // Nothing in a network tells whether it was trained on references.
    Facts as_named = facts;
    as_named.reference = one.capabilities.reference_image;
    return one.row.id == name && one.matches(as_named);
  };
  const auto found = std::find_if(kVariants.begin(), kVariants.end(), fits);
  if (found != kVariants.end()) return *found;
  const std::string network = message(
      "a network with ", facts.input_channels * kPatch * kPatch, " 'in_channels' for latents of ",
      facts.latent_channels, " channels, guidance_embeds ", facts.guidance_embeds ? "on" : "off");
  if (!name.empty())
    throw InvalidRequest(
        message("[variant] expected one that fits ", network, ", but got '", name, "'"));
  throw UnsupportedModel(message("[", checkpoint.component("transformer").config.origin(),
                                 "] no variant of FLUX.1 is ", network));
}

std::span<const VariantRow> variants() { return kRows; }

}  // namespace sdrbee::flux
