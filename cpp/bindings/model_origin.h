// Where models come from, for load, describe and engines.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "model_files.h"
#include "plugin.h"

namespace sdrbee::bindings {

/// Files, or a class in Python.
using ModelOrigin = std::variant<ModelFiles, Plugin>;

/// What the model is, without loading it. Throws as Registry::describe.
ModelDescription describe_model(const ModelOrigin& origin, const std::string& device);

/// The memory limit that it was given; empty: none.
std::optional<int64_t> memory_limit_of(const ModelOrigin& origin);

/// With a memory limit of its own or, where one is given, that limit. Throws as Registry::load, and
/// PluginError.
std::unique_ptr<ImageModel> load_model(const ModelOrigin& origin, const std::string& device,
                                       std::optional<int64_t> limit = std::nullopt);

}  // namespace sdrbee::bindings
