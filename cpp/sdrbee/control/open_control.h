// Control networks from files.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/models/control_network.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::control {

/// Whether these are the weights of a ControlNet beside a UNet, in any naming.
bool is_unet_controlnet(const io::WeightSource& weights);

/// What opens control networks for models with the checkpoint's UNet: a folder of diffusers
/// (config.json and weights), or one file in the naming of diffusers or of the original
/// (https://github.com/lllyasviel/ControlNet). What a file doesn't tell is as in the UNet.
///
/// It throws CheckpointError for a missing or damaged file, UnsupportedModel for one that is no
/// ControlNet, and InvalidRequest for one that is for another kind of model.
std::function<std::shared_ptr<ControlNetwork>(const std::string& path)> unet_controls(
    const io::Checkpoint& checkpoint, LoadOptions options);

}  // namespace sdrbee::control
