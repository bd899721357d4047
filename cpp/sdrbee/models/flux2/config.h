// The variants of FLUX.2 klein, and their defaults.
#pragma once

#include <span>

#include "sdrbee/models/registry.h"

namespace sdrbee::flux2 {

/// One row of the table.
struct Variant {
  VariantRow row;
  bool distilled = false;  ///< `is_distilled` of model_index.json
  Capabilities capabilities;
  ModeDefaults defaults;             ///< of all modes
  std::string_view looks_like = {};  ///< what a single file of it can't be told from
};

/// The variant that the options name, or else the one that model_index.json tells. Single files,
/// which have none, are taken for the base variant.
const Variant& find_variant(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// The rows of the table, for FamilyRow.
std::span<const VariantRow> variants();

}  // namespace sdrbee::flux2
