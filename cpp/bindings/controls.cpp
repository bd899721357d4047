#include "controls.h"

#include <functional>
#include <set>

#include "field_values.h"
#include "picture.h"
#include "sdrbee/core/error.h"
#include "sdrbee/generation/request_fields.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee::bindings {
namespace {

std::vector<Image> pictures_from_python(const std::string& field, py::handle value) {
  if (!PySequence_Check(value.ptr()) || py::isinstance<py::str>(value) ||
      py::isinstance<py::bytes>(value))
    wrong_type(field, "a list of pictures", value);
  std::vector<Image> pictures;
  for (const py::handle item : value)
    pictures.push_back(image_from_python(item, message(field, "[", pictures.size(), "]")));
  return pictures;
}

std::vector<double> factors_from_python(const std::string& field, py::handle value) {
  if (PyNumber_Check(value.ptr())) return {number(field, value)};
  return sequence<double>(field, value);
}

// {"down": {"block_1": [0.0, 1.0]}, "mid": 1.0} has the names "down.block_1" and "mid" in C++.
BlockFactors block_factors_from_python(const std::string& field, py::handle value) {
  BlockFactors blocks;
  if (value.is_none()) return blocks;
  if (!py::isinstance<py::dict>(value)) wrong_type(field, "a dict of factors by block", value);
  for (const auto& [key, item] : value.cast<py::dict>()) {
    const auto side = py::str(key).cast<std::string>();
    if (!py::isinstance<py::dict>(item)) {
      blocks[side] = factors_from_python(message(field, ".", side), item);
      continue;
    }
    for (const auto& [inner, factors] : item.cast<py::dict>()) {
      const std::string name = message(side, ".", std::string(py::str(inner)));
      blocks[name] = factors_from_python(message(field, ".", name), factors);
    }
  }
  if (blocks.empty())
    throw InvalidRequest(message("[", field, "] expected factors by block but got none"));
  return blocks;
}

py::object block_factors_to_python(const BlockFactors& blocks) {
  if (blocks.empty()) return py::none();
  py::dict result;
  for (const auto& [name, factors] : blocks) {
    const size_t dot = name.find('.');
    const py::str side(name.substr(0, dot));
    if (dot == std::string::npos)
      result[side] = field_to_python(factors);
    else
      result.attr("setdefault")(side, py::dict())[py::str(name.substr(dot + 1))] =
          field_to_python(factors);
  }
  return result;
}

template <typename T>
T control_value(const std::string& field, py::handle value) {
  if constexpr (std::is_same_v<T, BlockFactors>)
    return block_factors_from_python(field, value);
  else
    return field_from_python<T>(field, value);
}

template <typename T>
py::object control_value_to_python(const T& value) {
  if constexpr (std::is_same_v<T, BlockFactors>)
    return block_factors_to_python(value);
  else
    return field_to_python(value);
}

[[noreturn]] void unknown_control_field(const std::string& place, const std::string& name) {
  std::string known;
  visit_control_pictures([&](std::string_view one, std::string_view several, auto,
                             std::string_view) { known += message(one, ", ", several, ", "); });
  std::string separator;
  visit_control_fields([&](std::string_view field, auto, std::string_view) {
    known += message(separator, field);
    separator = ", ";
  });
  throw py::type_error(message("[", place, "] has no '", name, "'; it takes ", known));
}

// A control as users write it: a dict. A model's name is looked up in the local store.
ControlRequest control_from_python(const std::string& place, py::handle value) {
  if (!py::isinstance<py::dict>(value)) wrong_type(place, "a dict with 'model' and 'image'", value);
  ControlRequest control;
  std::set<std::string, std::less<>> given;
  for (const auto& [key, item] : value.cast<py::dict>()) {
    const auto name = py::str(key).cast<std::string>();
    const std::string field = place + "." + name;
    bool known = false;
    visit_control_pictures(
        [&](std::string_view one, std::string_view several, auto member, std::string_view) {
          if (name != one && name != several) return;
          known = true;
          const bool is_list = name == several;
          if (given.contains(is_list ? one : several))
            throw InvalidRequest(
                message("[", field, "] expected `", one, "` or `", several, "` but got both"));
          control.*member = is_list ? pictures_from_python(field, item)
                                    : std::vector{image_from_python(item, field)};
        });
    visit_control_fields(
        [&]<typename T>(std::string_view one, T ControlRequest::*member, std::string_view) {
          if (one != name) return;
          known = true;
          const bool is_path = one == "model" && py::hasattr(item, "__fspath__");
          control.*member = control_value<T>(field, is_path ? py::str(item) : item);
        });
    if (!known) unknown_control_field(place, name);
    given.insert(name);
  }
  // What is repainted is seen without a picture of its own.
  if (control.type == kInpaintType || !control.images.empty()) given.insert("image");
  for (const char* needed : {"model", "image"})
    if (!given.contains(needed))
      throw InvalidRequest(message("[", place, ".", needed, "] is missing: a control is a dict ",
                                   "with 'model' and 'image'"));
  control.model = py::module_::import("sdrbee.model_files")
                      .attr("control_path")(control.model)
                      .cast<std::string>();
  return control;
}

}  // namespace

std::vector<ControlRequest> controls_from_python(const std::string& field, py::handle value) {
  std::vector<ControlRequest> controls;
  if (value.is_none()) return controls;
  if (!PySequence_Check(value.ptr()) || py::isinstance<py::str>(value))
    wrong_type(field, "a list of dicts", value);
  for (const py::handle item : value)
    controls.push_back(control_from_python(message(field, "[", controls.size(), "]"), item));
  return controls;
}

py::list controls_to_python(const std::vector<ControlRequest>& controls) {
  py::list list;
  for (const ControlRequest& control : controls) {
    py::dict entry;
    visit_control_fields([&](std::string_view name, auto member, std::string_view) {
      const py::object value = control_value_to_python(control.*member);
      if (!value.is_none()) entry[py::str(std::string(name))] = value;
    });
    visit_control_pictures(
        [&](std::string_view one, std::string_view several, auto member, std::string_view) {
          py::list pictures;
          for (const Image& picture : control.*member) pictures.append(picture_to_python(picture));
          if (pictures.size() == 1) entry[py::str(std::string(one))] = pictures[0];
          if (pictures.size() > 1) entry[py::str(std::string(several))] = pictures;
        });
    list.append(std::move(entry));
  }
  return list;
}

py::object picture_to_python(const std::optional<Image>& image) {
  if (!image) return py::none();
  return py::cast(Picture{*image, std::nullopt, nullptr});
}

}  // namespace sdrbee::bindings
