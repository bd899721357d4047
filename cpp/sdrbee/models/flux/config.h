// The variants of FLUX.1, and their defaults.
#pragma once

#include <span>

#include "sdrbee/models/registry.h"

namespace sdrbee::flux {

/// What tells the variants apart, read off a checkpoint's configurations.
struct Facts {
  int64_t input_channels = 0;   ///< of the network, in latent cells
  int64_t latent_channels = 0;  ///< of the autoencoder
  int64_t mask_channels = 0;    ///< a mask's pixels under one latent cell
  bool guidance_embeds = false;
  bool reference = false;  ///< the pipeline shows the network a reference picture

  static Facts of(const io::Checkpoint& checkpoint);
};

/// One row of the table.
struct Variant {
  VariantRow row;
  bool (*matches)(const Facts&);
  Capabilities capabilities;
  ModeDefaults text_to_image;
  ModeDefaults image_to_image;
  ModeDefaults inpaint;
  int64_t max_sequence_length = 512;  ///< tokens of the prompt that T5 sees
  /// Variants that a single file of this one can't be told from, as text; and whether a folder can.
  std::string_view looks_like = {};
  bool folders_tell = true;
};

/// The variant that the options name, or else the first one that matches the checkpoint.
/// Throws UnsupportedModel when none takes that many input channels, InvalidRequest when the
/// variant that the options name doesn't.
const Variant& find_variant(const io::Checkpoint& checkpoint, const LoadOptions& options);

/// The rows of the table, for FamilyRow.
std::span<const VariantRow> variants();

}  // namespace sdrbee::flux
