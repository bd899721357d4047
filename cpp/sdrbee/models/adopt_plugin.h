// Plug-ins as models of the sealed interface.
#pragma once

#include <memory>

#include "sdrbee/models/plugin_model.h"

namespace sdrbee {

/// `plugin` behind the interface that generations use; it checks all that the plug-in answers.
std::unique_ptr<ImageModel> adopt_plugin(Sealed token, std::unique_ptr<PluginModel> plugin);

}  // namespace sdrbee
