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

std::optional<int64_t> memory_limit_of(const ModelOrigin& origin) {
  const auto* files = std::get_if<ModelFiles>(&origin);
  return files ? files->memory_limit : std::nullopt;
}

std::unique_ptr<ImageModel> load_model(const ModelOrigin& origin, const std::string& device,
                                       std::optional<int64_t> limit) {
  if (const auto* plugin = std::get_if<Plugin>(&origin)) return plugin->load();
  const auto& files = std::get<ModelFiles>(origin);
  LoadOptions options = files.options(device);
  if (limit) options.memory_limit_bytes = limit;
  return Registry::load(files.path, options);
}

}  // namespace sdrbee::bindings
