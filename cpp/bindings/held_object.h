// Python objects that C++ threads hold.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

namespace sdrbee::bindings {

namespace py = pybind11;

/// Owns a reference that may end on any thread: that takes the GIL then, and does nothing once the
/// interpreter is gone. Call it with the GIL.
inline std::shared_ptr<py::object> hold(py::object value) {
  return {new py::object(std::move(value)), [](py::object* held) {
            if (!Py_IsInitialized()) return;
            const py::gil_scoped_acquire gil;
            delete held;
          }};
}

}  // namespace sdrbee::bindings
