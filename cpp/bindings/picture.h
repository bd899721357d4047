// sdrbee.Image, and pictures from all that Python users have in hand.
#pragma once

#include <pybind11/pybind11.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "sdrbee/core/image.h"

namespace sdrbee::bindings {

namespace py = pybind11;

/// The value behind sdrbee.Image.
struct Picture {
  Image image;
  std::optional<uint64_t> seed;  // of a generated picture
  nlohmann::json recipe;         // null when the picture was not generated
};

/// The pixels of a path, bytes, PIL image, uint8 array [H, W] or [H, W, C], or sdrbee.Image.
/// `field` goes into messages. Throws InvalidRequest when the value is none of these.
Image image_from_python(py::handle value, std::string_view field);

}  // namespace sdrbee::bindings
