#include "results.h"

#include <ATen/core/Tensor.h>

#include <utility>

#include "picture.h"

namespace sdrbee::bindings {

py::array_t<float> array_from_tensor(const Tensor& tensor) {
  const Tensor values = tensor.contiguous();
  const std::vector<py::ssize_t> shape(values.sizes().begin(), values.sizes().end());
  return py::array_t<float>(shape, values.const_data_ptr<float>());
}

py::object result_to_python(GeneratedImage&& made) {
  for (const std::string& warning : made.warnings)
    if (PyErr_WarnEx(PyExc_UserWarning, warning.c_str(), 2) != 0) throw py::error_already_set();
  if (made.array.defined()) return array_from_tensor(made.array);
  return py::cast(Picture{std::move(made.image), made.seed, std::move(made.recipe)});
}

py::list results_to_python(std::vector<GeneratedImage>&& made) {
  py::list results;
  for (GeneratedImage& one : made) results.append(result_to_python(std::move(one)));
  return results;
}

}  // namespace sdrbee::bindings
