// The variants of a family of UNet models, as data, and what a checkpoint is by them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sdrbee/models/registry.h"

namespace sdrbee {

/// What tells the variants of one architecture apart, read off a checkpoint's configurations.
struct UnetFacts {
  int64_t context_width = 0;        // channels of the text that the UNet attends to
  int64_t sample_size = 0;          // latent cells on a side of the training pictures
  bool native_inpaint = false;      // the UNet takes mask and masked picture
  bool distilled_guidance = false;  // the UNet takes the guidance scale
  bool aesthetic_score = false;     // the UNet takes a score instead of the target size
  bool trailing = false;            // the scheduler's timesteps end at the last one
  std::string scheduler_class;
  std::string prediction;
  std::string architecture;  // what a single file's metadata calls it (modelspec.architecture)

  static UnetFacts of(const io::Checkpoint& checkpoint, const LoadOptions& options);
};

/// One row of a family's table.
struct UnetVariant {
  VariantRow row;
  /// Whether a network of these shapes can be the variant.
  bool (*fits)(const UnetFacts&);
  ModeDefaults text_to_image;
  ModeDefaults image_to_image;
  ModeDefaults inpaint;
  /// What a single file can't tell and the published folder says. Empty and 0: as for the family.
  std::string_view scheduler_class = {};
  std::string_view spacing = {};
  int64_t sample_size = 0;
  /// Variants that a single file of this one can't be told from, as text.
  std::string_view looks_like = {};
  /// Whether the checkpoint's scheduler says that it is the variant; null: nothing more is asked.
  bool (*tells)(const UnetFacts&) = nullptr;
};

/// The rows of a table of variants, for FamilyRow.
template <size_t kCount>
constexpr std::array<VariantRow, kCount> variant_rows(
    const std::array<UnetVariant, kCount>& variants) {
  std::array<VariantRow, kCount> rows;
  for (size_t i = 0; i < kCount; ++i) rows[i] = variants[i].row;
  return rows;
}

/// Whether the checkpoint's metadata names the variant.
bool calls_itself(const UnetFacts& facts, const UnetVariant& variant);

/// The variant that the options name; or else the one that the checkpoint calls itself, when it
/// fits; or else the first one that fits and is told. One row must match every checkpoint. Throws
/// InvalidRequest when the one that the options name doesn't fit.
const UnetVariant& find_variant(const UnetFacts& facts, std::span<const UnetVariant> variants,
                                const LoadOptions& options);

}  // namespace sdrbee
