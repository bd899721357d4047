#include "sdrbee/models/sd3/config.h"

#include <algorithm>
#include <array>

#include "sdrbee/core/error.h"

namespace sdrbee::sd3 {
namespace {

constexpr int64_t kMediumWidth = 1536;
constexpr int64_t kLargeWidth = 2432;

// Steps, guidance and strength of diffusers' StableDiffusion3*Pipeline, ...
constexpr ModeDefaults kTextToImage{28, 7.0, 1.0};
constexpr ModeDefaults kImageToImage{50, 7.0, 0.6};
// ... of https://huggingface.co/stabilityai/stable-diffusion-3.5-medium, ...
constexpr ModeDefaults kMedium{40, 4.5, 1.0};
constexpr ModeDefaults kMediumImageToImage{40, 4.5, 0.6};
// ... of https://huggingface.co/stabilityai/stable-diffusion-3.5-large, ...
constexpr ModeDefaults kLarge{28, 3.5, 1.0};
constexpr ModeDefaults kLargeImageToImage{28, 3.5, 0.6};
// ... and of https://huggingface.co/stabilityai/stable-diffusion-3.5-large-turbo
constexpr ModeDefaults kTurbo{4, 0.0, 1.0};
constexpr ModeDefaults kTurboImageToImage{4, 0.0, 0.6};

constexpr std::array kVariants = {
    Variant{{"sd3-medium", "3 medium: 2 billion parameters",
             "stable-diffusion-3-medium stable-diffusion-3-medium-diffusers"},
            [](const TransformerConfig& config) {
              return config.width() == kMediumWidth && !config.qk_norm;
            },
            kTextToImage,
            kImageToImage,
            kImageToImage},
    Variant{{"sd3.5-medium", "3.5 medium: a second attention in the first blocks",
             "stable-diffusion-3.5-medium"},
            [](const TransformerConfig& config) {
              return config.width() == kMediumWidth && config.qk_norm;
            },
            kMedium,
            kMediumImageToImage,
            kMediumImageToImage},
    Variant{{"sd3.5-large", "3.5 large: 8 billion parameters", "stable-diffusion-3.5-large"},
            [](const TransformerConfig& config) { return config.width() == kLargeWidth; },
            kLarge,
            kLargeImageToImage,
            kLargeImageToImage,
            "sd3.5-large-turbo"},
    Variant{{"sd3.5-large-turbo", "3.5 large distilled to 4 steps without guidance",
             "stable-diffusion-3.5-large-turbo"},
            [](const TransformerConfig& config) { return config.width() == kLargeWidth; },
            kTurbo,
            kTurboImageToImage,
            kTurboImageToImage},
    Variant{{"custom", "the same architecture in other widths"},
            [](const TransformerConfig&) { return true; },
            kTextToImage,
            kImageToImage,
            kImageToImage},
};

constexpr auto kRows = [] {
  std::array<VariantRow, kVariants.size()> rows;
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = kVariants[i].row;
  return rows;
}();

}  // namespace

const Variant& find_variant(const TransformerConfig& config, std::string_view name) {
  const auto found = std::find_if(kVariants.begin(), kVariants.end(), [&](const Variant& one) {
    return one.fits(config) && (name.empty() || one.row.id == name);
  });
  if (found == kVariants.end())
    throw InvalidRequest(message("[variant] a network of ", config.width(), " channels",
                                 config.qk_norm ? " with" : " without",
                                 " norms of queries and keys can't be '", name, "'; leave it out"));
  return *found;
}

std::span<const VariantRow> variants() { return kRows; }

}  // namespace sdrbee::sd3
