// The variants of Z-Image, and their defaults.
#pragma once

#include <span>

#include "sdrbee/models/registry.h"

namespace sdrbee::z_image {

/// One row of the table.
struct Variant {
  VariantRow row;
  double shift = 1;  ///< of the published scheduler, which alone tells the variants apart
  ModeDefaults text_to_image;
  ModeDefaults image_to_image;
  ModeDefaults inpaint;
  std::string_view looks_like = {};  ///< what a single file of it can't be told from
};

/// The variant that the options name, or else the one that the scheduler of a folder is for. Single
/// files, which have none, are taken for the base variant.
const Variant& find_variant(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// The rows of the table, for FamilyRow.
std::span<const VariantRow> variants();

}  // namespace sdrbee::z_image
