#include "latents.h"

#include <cmath>

#include "sdrbee/core/error.h"

namespace sdrbee::bindings {

std::optional<LatentImage> latents_from_python(py::handle value) {
  if (value.is_none()) return std::nullopt;
  using Array = py::array_t<float, py::array::c_style | py::array::forcecast>;
  const bool floats = py::isinstance<py::array>(value) &&
                      py::reinterpret_borrow<py::array>(value).dtype().kind() == 'f';
  const Array array = floats ? Array::ensure(value) : Array();
  if (!floats || array.ndim() != 3)
    throw InvalidRequest(message("[latents] expected a float array [channels, height, width], as ",
                                 "output='latent' gives it, but got ",
                                 std::string(py::repr(py::type::of(value))),
                                 floats ? message(" with ", array.ndim(), " dimensions") : ""));
  LatentImage latents{array.shape(0), {array.shape(2), array.shape(1)}, {}};
  latents.values.assign(array.data(), array.data() + array.size());
  for (const float one : latents.values)
    if (!std::isfinite(one)) throw InvalidRequest("[latents] expected finite numbers");
  return latents;
}

py::object latents_to_python(const std::optional<LatentImage>& latents) {
  if (!latents) return py::none();
  const std::vector<py::ssize_t> shape = {latents->channels, latents->size.height,
                                          latents->size.width};
  return py::array_t<float>(shape, latents->values.data());
}

}  // namespace sdrbee::bindings
