#include "model_files.h"

#include <pybind11/stl.h>

#include "bindings.h"
#include "sdrbee/control/opened_control.h"
#include "sdrbee/core/device.h"

namespace sdrbee::bindings {

LoadOptions ModelFiles::options(const std::string& device) const {
  LoadOptions options;
  options.device = parse_device(device);
  options.dtype = dtype == "auto" ? default_dtype(options.device) : parse_dtype(dtype);
  options.variant = variant;
  options.prediction = prediction;
  for (const auto& [name, file] : components) options.components.push_back({name, file});
  options.vocabulary_candidates.assign(vocabulary_candidates.begin(), vocabulary_candidates.end());
  options.memory_limit_bytes = memory_limit;
  if (prompt_cache) options.prompt_cache_bytes = *prompt_cache;
  return options;
}

void register_model_files(py::module_& module) {
  py::class_<ModelFiles>(module, "ModelFiles", "Which model, and how to load it.")
      .def(py::init<std::string, std::string, std::string, std::string,
                    std::map<std::string, std::string>, std::vector<std::string>,
                    std::optional<int64_t>, std::optional<int64_t>>(),
           py::arg("path"), py::arg("dtype"), py::arg("variant"), py::arg("prediction"),
           py::arg("components"), py::arg("vocabulary_candidates"),
           py::arg("memory_limit").none(true), py::arg("prompt_cache").none(true));
  module.def("follows_types", &control::follows_types, py::arg("path"),
             "Whether a control network's folder or file follows pictures of several types.");
}

}  // namespace sdrbee::bindings
