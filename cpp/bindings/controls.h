// The controls of a request: dicts in Python.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <vector>

#include "sdrbee/generation/request.h"

namespace sdrbee::bindings {

namespace py = pybind11;

/// None or a list of dicts; `field` goes into messages. Throws InvalidRequest and TypeError.
std::vector<ControlRequest> controls_from_python(const std::string& field, py::handle value);

py::list controls_to_python(const std::vector<ControlRequest>& controls);

/// An sdrbee.Image, or None.
py::object picture_to_python(const std::optional<Image>& image);

}  // namespace sdrbee::bindings
