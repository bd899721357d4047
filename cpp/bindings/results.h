// Finished pictures as Python has them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <vector>

#include "sdrbee/generation/generation.h"

namespace sdrbee::bindings {

namespace py = pybind11;

/// A float32 array with a tensor's values.
py::array_t<float> array_from_tensor(const Tensor& tensor);

/// An sdrbee.Image, or a float32 array where the request's output asked for one. Its warnings
/// become Python's.
py::object result_to_python(GeneratedImage&& made);

/// All of them, in their order.
py::list results_to_python(std::vector<GeneratedImage>&& made);

}  // namespace sdrbee::bindings
