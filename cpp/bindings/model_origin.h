// Where models come from, for load, describe and engines.
#pragma once

#include <memory>
#include <string>
#include <variant>

#include "model_files.h"
#include "plugin.h"

namespace sdrbee::bindings {

/// Files, or a class in Python.
using ModelOrigin = std::variant<ModelFiles, Plugin>;

/// What the model is, without loading it. Throws as Registry::describe.
ModelDescription describe_model(const ModelOrigin& origin, const std::string& device);

/// Throws as Registry::load, and PluginError.
std::unique_ptr<ImageModel> load_model(const ModelOrigin& origin, const std::string& device);

}  // namespace sdrbee::bindings
