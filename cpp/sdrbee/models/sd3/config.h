// The variants of Stable Diffusion 3 and 3.5, and their defaults.
#pragma once

#include <span>

#include "sdrbee/models/common/describe_model.h"
#include "sdrbee/models/sd3/transformer_config.h"

namespace sdrbee::sd3 {

/// One row of the table.
struct Variant {
  VariantRow row;
  /// Whether a network of these shapes can be the variant.
  bool (*fits)(const TransformerConfig&);
  ModeDefaults text_to_image;
  ModeDefaults image_to_image;
  ModeDefaults inpaint;
  /// Variants that no file can be told from, as text.
  std::string_view looks_like = {};
};

/// The variant with the id `name` or, when it is empty, the first that the network fits.
/// Throws InvalidRequest when the one that is named doesn't fit.
const Variant& find_variant(const TransformerConfig& config, std::string_view name);

/// The table as FamilyRow wants it.
std::span<const VariantRow> variants();

}  // namespace sdrbee::sd3
