// Models that are written in Python.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "sdrbee/models/image_model.h"

namespace sdrbee::bindings {

namespace py = pybind11;

/// A plug-in that is not loaded: what it tells of itself, and what makes it. Copies need no GIL.
struct Plugin {
  ModelInfo info;
  /// Called without arguments, gives a sdrbee.plugins.ImageModel.
  std::shared_ptr<py::object> make;

  /// Makes the model behind the interface that generations use. Takes the GIL for each call into
  /// Python; what is raised there becomes PluginError with the last line of the traceback.
  std::unique_ptr<ImageModel> load() const;
};

}  // namespace sdrbee::bindings
