#include "sdrbee/models/flux2/config.h"

#include <algorithm>
#include <array>

namespace sdrbee::flux2 {
namespace {

// Of diffusers' Flux2KleinPipeline, and of the model card
// https://huggingface.co/black-forest-labs/FLUX.2-klein-4B
constexpr std::array kVariants = {
    Variant{.row = {"flux2-klein-base", "with guidance, references as tokens",
                    "flux.2-klein-base klein-base flux.2-klein-base-4b"},
            .capabilities = {.inpaint = false, .reference_image = true},
            .defaults = {50, 4.0, 1.0},
            .looks_like = "flux2-klein"},
    Variant{.row = {"flux2-klein", "distilled to 4 steps, without guidance",
                    "flux.2-klein klein flux.2-klein-4b"},
            .distilled = true,
            .capabilities = {.inpaint = false,
                             .guidance = false,
                             .negative_prompt = false,
                             .reference_image = true},
            .defaults = {4, 1.0, 1.0}},
};

constexpr auto kRows = [] {
  std::array<VariantRow, kVariants.size()> rows;
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = kVariants[i].row;
  return rows;
}();

}  // namespace

const Variant& find_variant(const io::Checkpoint& checkpoint, const LoadOptions& options) {
  if (!options.variant.empty())
    return *std::ranges::find(kVariants, options.variant,
                              [](const Variant& one) { return one.row.id; });
  const bool distilled = checkpoint.index().bool_or("is_distilled", false);
  return *std::ranges::find(kVariants, distilled, &Variant::distilled);
}

std::span<const VariantRow> variants() { return kRows; }

}  // namespace sdrbee::flux2
