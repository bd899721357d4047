// Latents as Python's arrays.
#pragma once

#include <pybind11/numpy.h>

#include <optional>

#include "sdrbee/core/image.h"

namespace sdrbee::bindings {

namespace py = pybind11;

/// The values of a float array [channels, height, width]; nothing of None.
/// Throws InvalidRequest when the value is no such array.
std::optional<LatentImage> latents_from_python(py::handle value);

/// A copy as float32 array; None of nothing.
py::object latents_to_python(const std::optional<LatentImage>& latents);

}  // namespace sdrbee::bindings
