#include "model_origin.h"

namespace sdrbee::bindings {

ModelDescription describe_model(const ModelOrigin& origin, const std::string& device) {
  if (const auto* plugin = std::get_if<Plugin>(&origin))
    return {.family = plugin->info.family,
            .pipeline_class = {},
            .info = plugin->info,
            .components = {},
            .missing = {}};
  const auto& files = std::get<ModelFiles>(origin);
  return Registry::describe(files.path, files.options(device));
}

std::unique_ptr<ImageModel> load_model(const ModelOrigin& origin, const std::string& device) {
  if (const auto* plugin = std::get_if<Plugin>(&origin)) return plugin->load();
  const auto& files = std::get<ModelFiles>(origin);
  return Registry::load(files.path, files.options(device));
}

}  // namespace sdrbee::bindings
