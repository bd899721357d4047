#include "sdrbee/models/z_image/config.h"

#include <algorithm>
#include <array>
#include <optional>

#include "sdrbee/models/common/describe_model.h"

namespace sdrbee::z_image {
namespace {

// Steps and scales of diffusers' ZImagePipeline, ZImageImg2ImgPipeline and ZImageInpaintPipeline;
// the distilled network's are those of the example in ZImagePipeline. Shifts:
// https://huggingface.co/Tongyi-MAI/Z-Image/blob/main/scheduler/scheduler_config.json and
// https://huggingface.co/Tongyi-MAI/Z-Image-Turbo/blob/main/scheduler/scheduler_config.json
constexpr std::array kVariants = {
    Variant{.row = {"z-image", "with guidance", "z-image-base zimage"},
            .shift = 6.0,
            .text_to_image = {50, 5.0, 1.0},
            .image_to_image = {50, 5.0, 0.6},
            .inpaint = {50, 5.0, 1.0},
            .looks_like = "z-image-turbo"},
    Variant{.row = {"z-image-turbo", "distilled to 8 steps, without guidance",
                    "zimage-turbo z-image_turbo"},
            .shift = 3.0,
            .text_to_image = {8, 0.0, 1.0},
            .image_to_image = {8, 0.0, 0.6},
            .inpaint = {8, 0.0, 1.0}},
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
  const Variant& base = kVariants.front();
  if (checkpoint.layout() == io::CheckpointLayout::SingleFile) return base;
  const std::optional<double> shift = read_scheduler(checkpoint, options).shift;
  const auto found = std::ranges::find(kVariants, shift, &Variant::shift);
  return found == kVariants.end() ? base : *found;
}

std::span<const VariantRow> variants() { return kRows; }

}  // namespace sdrbee::z_image
