// What the configurations of any latent diffusion model tell.
#pragma once

#include <string_view>

#include "sdrbee/models/registry.h"
#include "sdrbee/sampling/scheduler_config.h"

namespace sdrbee {

/// Where a family's table of variants puts a checkpoint.
struct ModelVariant {
  std::string_view family;
  std::string_view id;
  ModeDefaults text_to_image;
  ModeDefaults image_to_image;
  ModeDefaults inpaint;
  int64_t default_cells = 64;   // latent cells on a side of the default picture
  int64_t cells_per_token = 1;  // on a side; pictures are whole tokens
  std::string_view looks_like;  // variants that a single file can't be told from, as text
  bool folders_tell = true;     // no folder is taken for one of `looks_like`
};

/// Limits, sizes, scheduler and defaults of the checkpoint as this variant; capabilities are left
/// to the family. A checkpoint that looks like other variants too is told of in the warnings,
/// unless the options name the variant. A file `sdrbee.json` in the model's folder may replace
/// defaults:
/// {"defaults": {"steps": 20, "guidance_scale": 3, "width": 128, "height": 128}}.
ModelInfo describe_model(const io::Checkpoint& checkpoint, const LoadOptions& options,
                         const ModelVariant& variant);

/// The checkpoint's scheduler: the class comes from model_index.json, as in diffusers.
/// `options.prediction` replaces what it says of the prediction.
sampling::SchedulerConfig read_scheduler(const io::Checkpoint& checkpoint,
                                         const LoadOptions& options);

}  // namespace sdrbee
