// What the binding files share: one register function for each bound type.
#pragma once

#include <pybind11/pybind11.h>

namespace sdrbee::bindings {

namespace py = pybind11;

/// The exceptions of sdrbee and the translation of C++ errors into them.
void register_errors(py::module_& module);

}  // namespace sdrbee::bindings
