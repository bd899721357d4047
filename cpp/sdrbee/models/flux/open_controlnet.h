// FLUX's ControlNets from files.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "sdrbee/io/checkpoint.h"
#include "sdrbee/models/control_network.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::flux {

/// What opens ControlNets for a model with the checkpoint's transformer: a folder of diffusers
/// (FluxControlNetModel), or one file in the naming of diffusers or of XLabs
/// (https://github.com/XLabs-AI/x-flux).
///
/// It throws CheckpointError for a missing or damaged file, UnsupportedModel for one that is no
/// ControlNet, and InvalidRequest for one that is for another kind of model.
std::function<std::shared_ptr<ControlNetwork>(const std::string& path)> controlnets(
    const io::Checkpoint& checkpoint, LoadOptions options);

}  // namespace sdrbee::flux
