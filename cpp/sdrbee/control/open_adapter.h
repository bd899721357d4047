// T2I-Adapters from files.
#pragma once

#include <memory>
#include <string>

#include "sdrbee/control/opened_control.h"
#include "sdrbee/control/t2i_adapter_config.h"
#include "sdrbee/models/control_network.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::control {

/// Whether these are the weights of a T2I-Adapter, in the names of diffusers or in those of the
/// original (https://github.com/TencentARC/T2I-Adapter).
bool is_t2i_adapter(const io::WeightSource& weights);

/// The weights of a T2I-Adapter's file in the names of diffusers.
std::shared_ptr<const io::WeightSource> adapter_weights(
    const std::shared_ptr<const io::WeightSource>& file);

/// The adapter of these files for a model with such a place. `path` is what messages call it.
/// Throws CheckpointError for missing or wrong weights, InvalidRequest when it doesn't fit.
std::shared_ptr<ControlNetwork> load_adapter(OpenedControl opened, const AdapterPlace& place,
                                             const LoadOptions& options, const std::string& path);

}  // namespace sdrbee::control
