// Components that a user takes from another place than the model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/io/diffusers_folder.h"

namespace sdrbee::io {

/// Names that models give to their denoiser.
inline constexpr std::array<std::string_view, 2> kDenoiserNames = {"transformer", "unet"};

bool is_denoiser_name(std::string_view name);

/// `base` with the fields of `over` in the place of its own.
Config merged_config(Json base, const Config& over);

/// The place that a component is opened for.
struct OverrideSlot {
  ComponentKind kind;  // the class is empty where the model doesn't say
  Json untold;         // what the model says of the component and no tensor tells
  std::vector<ComponentKind> model = {};  // all components of the model, for messages
};

struct OpenedOverride {
  Component component;
  std::vector<std::filesystem::path> files;
};

/// Opens the component at `path` for the slot. Throws CheckpointError naming the path when there is
/// nothing that fits, with what was expected and what is there.
OpenedOverride open_override(const std::filesystem::path& path, const OverrideSlot& slot,
                             const CheckpointOptions& options);

}  // namespace sdrbee::io
