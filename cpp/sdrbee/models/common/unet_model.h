// An image model of a UNet and an autoencoder, with the prompt encoder that its family brings.
#pragma once

#include <memory>

#include "sdrbee/models/common/prompt_encoder.h"
#include "sdrbee/models/registry.h"
#include "sdrbee/sampling/scheduler_config.h"

namespace sdrbee {

/// What a family brings to make_unet_model.
struct UnetModelParts {
  ModelInfo info;
  sampling::SchedulerConfig scheduler;
  std::unique_ptr<PromptEncoder> prompt_encoder;
  /// The family's autoencoders overflow in half precision where their configuration says so
  /// (`force_upcast`); they are then loaded in single precision.
  bool upcast_autoencoder = false;
};

/// Loads "unet" and "vae" of the checkpoint. Throws CheckpointError or UnsupportedModel.
std::unique_ptr<ImageModel> make_unet_model(Sealed, const io::Checkpoint& checkpoint,
                                            const LoadOptions& options, UnetModelParts parts);

}  // namespace sdrbee
