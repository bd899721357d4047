// IP-Adapters from files.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "sdrbee/control/ip_adapter.h"
#include "sdrbee/control/opened_control.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::control {

/// Whether these are the weights of an IP-Adapter.
bool is_ip_adapter(const io::WeightSource& weights);

/// The adapter of a file for a UNet with these cross-attentions. Its picture encoder is
/// the folder `image_encoder` beside the file, or that of the neighbouring folder `models`, as
/// https://huggingface.co/h94/IP-Adapter has it; the first one that fits.
/// Throws CheckpointError for missing or wrong weights, and when there is no such encoder;
/// UnsupportedModel for other kinds, and InvalidRequest when it is for another kind of UNet.
std::shared_ptr<ControlNetwork> load_ip_adapter(OpenedControl opened,
                                                const Unet2DConditionConfig& unet,
                                                const LoadOptions& options);

}  // namespace sdrbee::control
