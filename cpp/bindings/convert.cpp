// Conversion of weight files.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "bindings.h"
#include "sdrbee/models/common/convert_model.h"

namespace sdrbee::bindings {
namespace {

using Rules = std::vector<std::pair<std::string, std::string>>;

io::ConversionReport convert(const std::filesystem::path& source,
                             const std::filesystem::path& target, const std::string& type,
                             const Rules& rules, const py::object& on_tensor) {
  std::vector<io::TypeRule> type_rules;
  for (const auto& [pattern, name] : rules) type_rules.push_back({pattern, name});
  const auto observe = [&](int64_t done, int64_t total) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!on_tensor.is_none()) on_tensor(done, total);
  };
  const py::gil_scoped_release unlocked;
  return convert_model(source, target, type, type_rules, observe);
}

}  // namespace

void register_convert(py::module_& module) {
  py::class_<io::ConversionReport> report(module, "ConversionReport", "What was converted.");
  report
      .def_readonly("tensors", &io::ConversionReport::tensors, "how many tensors there are by type")
      .def_readonly("bytes", &io::ConversionReport::bytes, "the length of the file");
  report.attr("_fields") = py::make_tuple("tensors", "bytes");
  module.def("convert", &convert, py::arg("source"), py::arg("target"), py::arg("type"),
             py::arg("rules"), py::arg("on_tensor").none(true));
  module.def("conversion_types", &io::conversion_types, py::arg("target"),
             "The number types that a file of that name may hold.");
}

}  // namespace sdrbee::bindings
