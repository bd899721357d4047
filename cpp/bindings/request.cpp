// sdrbee.GenerationRequest. All that is said about a field comes from visit_request_fields.
#include <cmath>
#include <limits>
#include <set>
#include <type_traits>

#include "bindings.h"
#include "embeddings.h"
#include "latents.h"
#include "loras.h"
#include "picture.h"
#include "sdrbee/core/error.h"
#include "sdrbee/generation/request_fields.h"
#include "sdrbee/models/control_network.h"

namespace sdrbee::bindings {
namespace {

constexpr const char* kIpAdapters = "ip_adapters";

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

/// A row of sdrbee.request_fields(): what the command line is made from.
struct RequestField {
  std::string name;
  std::string type;  // str, int, float, bool or "list of" int, float, loras or embeddings
  bool optional = false;
  py::object default_value;
  std::string doc;
};

template <typename T>
std::string type_name() {
  if constexpr (IsOptional<T>::value) return type_name<typename T::value_type>();
  if constexpr (std::is_same_v<T, std::string>) return "str";
  if constexpr (std::is_same_v<T, bool>) return "bool";
  if constexpr (std::is_integral_v<T>) return "int";
  if constexpr (std::is_same_v<T, double>) return "float";
  if constexpr (std::is_same_v<T, std::vector<int64_t>>) return "list of int";
  if constexpr (std::is_same_v<T, std::vector<lora::LoraUse>>) return "list of loras";
  if constexpr (std::is_same_v<T, std::vector<text::EmbeddingUse>>) return "list of embeddings";
  return "list of float";
}

[[noreturn]] void wrong_type(std::string_view field, const std::string& expected,
                             py::handle value) {
  throw py::type_error(message("[", field, "] expected ", expected, " but got ",
                               std::string(py::repr(value)), " (", Py_TYPE(value.ptr())->tp_name,
                               ")"));
}

double number(std::string_view field, py::handle value) {
  if (py::isinstance<py::bool_>(value) || !PyNumber_Check(value.ptr()))
    wrong_type(field, "float", value);
  const double result = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() == nullptr) return result;
  PyErr_Clear();
  wrong_type(field, "float", value);
}

template <typename T>
T integer(std::string_view field, py::handle value) {
  if (py::isinstance<py::bool_>(value) || !PyIndex_Check(value.ptr()))
    wrong_type(field, "int", value);
  const auto exact = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!exact) throw py::error_already_set();
  py::detail::make_caster<T> caster;
  if (!caster.load(exact, false))
    throw InvalidRequest(message("[", field, "] expected ", std::numeric_limits<T>::min(), "..",
                                 std::numeric_limits<T>::max(), " but got ",
                                 std::string(py::str(exact))));
  return py::detail::cast_op<T>(caster);
}

template <typename T>
std::vector<T> sequence(std::string_view field, py::handle value) {
  constexpr bool kWhole = std::is_integral_v<T>;
  std::vector<T> result;
  if (value.is_none()) return result;
  if (py::isinstance<py::str>(value) || !PySequence_Check(value.ptr()))
    wrong_type(field, kWhole ? "a sequence of ints" : "a sequence of floats", value);
  for (const py::handle item : value) {
    if constexpr (kWhole)
      result.push_back(integer<T>(field, item));
    else
      result.push_back(number(field, item));
  }
  return result;
}

template <typename T>
T field_from_python(std::string_view field, py::handle value) {
  if constexpr (IsOptional<T>::value) {
    if (value.is_none()) return std::nullopt;
    return field_from_python<typename T::value_type>(field, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!py::isinstance<py::str>(value)) wrong_type(field, "str", value);
    return value.cast<std::string>();
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!py::isinstance<py::bool_>(value)) wrong_type(field, "bool", value);
    return value.cast<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    return integer<T>(field, value);
  } else if constexpr (std::is_same_v<T, double>) {
    return number(field, value);
  } else if constexpr (std::is_same_v<T, std::vector<lora::LoraUse>>) {
    return loras_from_python(value);
  } else if constexpr (std::is_same_v<T, std::vector<text::EmbeddingUse>>) {
    return embeddings_from_python(value);
  } else {
    return sequence<typename T::value_type>(field, value);
  }
}

template <typename T>
py::object field_to_python(const T& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? field_to_python(*value) : py::none();
  } else if constexpr (std::is_same_v<T, std::vector<lora::LoraUse>>) {
    return loras_to_python(value);
  } else if constexpr (std::is_same_v<T, std::vector<text::EmbeddingUse>>) {
    return embeddings_to_python(value);
  } else if constexpr (std::is_same_v<T, std::vector<double>> ||
                       std::is_same_v<T, std::vector<int64_t>>) {
    py::list list;
    for (const auto item : value) list.append(item);
    return list;
  } else {
    return py::cast(value);
  }
}

py::object picture_to_python(const std::optional<Image>& image) {
  if (!image) return py::none();
  return py::cast(Picture{*image, std::nullopt, nullptr});
}

std::optional<Image> picture_from_python(std::string_view field, py::handle value) {
  if (value.is_none()) return std::nullopt;
  return image_from_python(value, field);
}

[[noreturn]] void unknown_control_field(const std::string& place, const std::string& name) {
  std::string known = "image";
  visit_control_fields(
      [&](std::string_view field, auto, std::string_view) { known += message(", ", field); });
  throw py::type_error(message("[", place, "] has no '", name, "'; it takes ", known));
}

// A control as users write it: a dict. A model's name is looked up in the local store.
ControlRequest control_from_python(const std::string& place, py::handle value) {
  if (!py::isinstance<py::dict>(value)) wrong_type(place, "a dict with 'model' and 'image'", value);
  ControlRequest control;
  std::set<std::string> given;
  for (const auto& [key, item] : value.cast<py::dict>()) {
    const auto name = py::str(key).cast<std::string>();
    const std::string field = place + "." + name;
    bool known = name == "image";
    if (known) control.image = image_from_python(item, field);
    visit_control_fields(
        [&]<typename T>(std::string_view one, T ControlRequest::*member, std::string_view) {
          if (one != name) return;
          known = true;
          const bool is_path = one == "model" && py::hasattr(item, "__fspath__");
          control.*member = field_from_python<T>(field, is_path ? py::str(item) : item);
        });
    if (!known) unknown_control_field(place, name);
    given.insert(name);
  }
  // What is repainted is seen without a picture of its own.
  if (control.type == kInpaintType) given.insert("image");
  for (const char* needed : {"model", "image"})
    if (!given.contains(needed))
      throw InvalidRequest(message("[", place, ".", needed, "] is missing: a control is a dict ",
                                   "with 'model' and 'image'"));
  control.model = py::module_::import("sdrbee.model_files")
                      .attr("control_path")(control.model)
                      .cast<std::string>();
  return control;
}

std::vector<ControlRequest> controls_from_python(const std::string& field, py::handle value) {
  std::vector<ControlRequest> controls;
  if (value.is_none()) return controls;
  if (!PySequence_Check(value.ptr()) || py::isinstance<py::str>(value))
    wrong_type(field, "a list of dicts", value);
  for (const py::handle item : value)
    controls.push_back(control_from_python(message(field, "[", controls.size(), "]"), item));
  return controls;
}

// IP-Adapters are controls that users keep apart: they follow the others.
void add_ip_adapters(GenerationRequest& request, py::handle value) {
  for (ControlRequest& adapter : controls_from_python(kIpAdapters, value))
    request.controls.push_back(std::move(adapter));
}

py::list controls_to_python(const std::vector<ControlRequest>& controls) {
  py::list list;
  for (const ControlRequest& control : controls) {
    py::dict entry;
    visit_control_fields([&](std::string_view name, auto member, std::string_view) {
      entry[py::str(std::string(name))] = field_to_python(control.*member);
    });
    if (!control.image.pixels.empty()) entry["image"] = picture_to_python(control.image);
    list.append(std::move(entry));
  }
  return list;
}

std::vector<RequestField> request_fields() {
  std::vector<RequestField> rows;
  visit_request_fields(
      [&]<typename T>(std::string_view name, T GenerationRequest::*member, std::string_view doc) {
        rows.push_back({std::string(name), type_name<T>(), IsOptional<T>::value,
                        field_to_python(GenerationRequest().*member), std::string(doc)});
      });
  return rows;
}

[[noreturn]] void unknown_field(const std::string& name) {
  py::list known;
  for (const RequestField& row : request_fields()) known.append(row.name);
  visit_request_pictures([&](std::string_view picture, auto, std::string_view) {
    known.append(std::string(picture));
  });
  known.append("latents");
  known.append("controls");
  known.append(kIpAdapters);
  const py::list nearest = py::module_::import("difflib").attr("get_close_matches")(name, known);
  const py::list listed = nearest.empty() ? known : nearest;
  throw py::type_error(message("[GenerationRequest] has no field '", name, "'; ",
                               nearest.empty() ? "the fields are " : "did you mean ",
                               std::string(py::str(", ").attr("join")(listed).cast<py::str>())));
}

void set_field(GenerationRequest& request, const std::string& name, py::handle value) {
  bool found = name == "latents" || name == "controls" || name == kIpAdapters;
  if (name == "latents") request.latents = latents_from_python(value);
  if (name == "controls") request.controls = controls_from_python(name, value);
  if (name == kIpAdapters) add_ip_adapters(request, value);
  visit_request_pictures([&](std::string_view field, auto member, std::string_view) {
    if (field != name) return;
    request.*member = picture_from_python(field, value);
    found = true;
  });
  visit_request_fields(
      [&]<typename T>(std::string_view field, T GenerationRequest::*member, std::string_view) {
        if (field != name) return;
        request.*member = field_from_python<T>(field, value);
        found = true;
      });
  if (!found) unknown_field(name);
}

GenerationRequest with_fields(GenerationRequest request, const py::kwargs& fields) {
  // What adds to `controls` comes after what sets them.
  for (const bool adds : {false, true})
    for (const auto& [key, value] : fields)
      if (const auto name = key.cast<std::string>(); (name == kIpAdapters) == adds)
        set_field(request, name, value);
  return request;
}

// The fields that differ from the defaults, as the call that makes the request.
std::string represent_request(const GenerationRequest& request) {
  const GenerationRequest defaults;
  std::string text = "GenerationRequest(";
  std::string separator;
  visit_request_fields(
      [&]<typename T>(std::string_view name, T GenerationRequest::*member, std::string_view) {
        if (request.*member == defaults.*member) return;
        const std::string value = py::repr(field_to_python(request.*member));
        text += message(separator, name, "=", value);
        separator = ", ";
      });
  visit_request_pictures([&](std::string_view name, auto member, std::string_view) {
    const std::optional<Image>& image = request.*member;
    if (!image) return;
    text += message(separator, name, "=<", image->size.width, "x", image->size.height, ">");
    separator = ", ";
  });
  if (request.latents) {
    text += message(separator, "latents=<", request.latents->channels, "x",
                    request.latents->size.height, "x", request.latents->size.width, ">");
    separator = ", ";
  }
  if (!request.controls.empty())
    text += message(separator, "controls=<", request.controls.size(), ">");
  return text + ")";
}

void register_fields(py::class_<GenerationRequest>& type) {
  visit_request_fields(
      [&]<typename T>(std::string_view name, T GenerationRequest::*member, std::string_view doc) {
        type.def_property(
            std::string(name).c_str(),
            [member](const GenerationRequest& self) { return field_to_python(self.*member); },
            [member, field = std::string(name)](GenerationRequest& self, const py::object& value) {
              self.*member = field_from_python<T>(field, value);
            },
            std::string(doc).c_str());
      });
  visit_request_pictures([&](std::string_view name, auto member, std::string_view doc) {
    type.def_property(
        std::string(name).c_str(),
        [member](const GenerationRequest& self) { return picture_to_python(self.*member); },
        [member, field = std::string(name)](GenerationRequest& self, const py::object& value) {
          self.*member = picture_from_python(field, value);
        },
        std::string(doc).c_str());
  });
  type.def_property(
      "latents", [](const GenerationRequest& self) { return latents_to_python(self.latents); },
      [](GenerationRequest& self, const py::object& value) {
        self.latents = latents_from_python(value);
      },
      "what to start from instead of `image`: a float array [channels, height, width], as "
      "output='latent' gives it");
  type.def_property(
      "controls", [](const GenerationRequest& self) { return controls_to_python(self.controls); },
      [](GenerationRequest& self, const py::object& value) {
        self.controls = controls_from_python("controls", value);
      },
      "ControlNets, T2I-Adapters and IP-Adapters that the picture follows: dicts of `model` (a "
      "name in the local store, a folder "
      "or a file), `image`, `strength` (1), `start` and `end` (0 and 1, parts of the steps), "
      "`mode` ('balanced', 'prompt' or 'control'), `guess_mode` (False), `type` and "
      "`preprocessor`, the name of what made `image`, for the recipe");
}

}  // namespace

void register_request(py::module_& module) {
  py::class_<RequestField>(module, "RequestField", "One field of GenerationRequest.")
      .def_readonly("name", &RequestField::name)
      .def_readonly("type", &RequestField::type)
      .def_readonly("optional", &RequestField::optional,
                    "whether None is allowed: the default of the model and mode")
      .def_readonly("default", &RequestField::default_value)
      .def_readonly("doc", &RequestField::doc);
  module.def(
      "request_fields",
      [] {
        py::list rows;
        for (RequestField& row : request_fields()) rows.append(std::move(row));
        return rows;
      },
      "The fields of GenerationRequest, except pictures, `latents` and `controls`.");

  py::class_<GenerationRequest> type(
      module, "GenerationRequest",
      "What to generate: one request for all modes; all fields are keywords.\n\n"
      "None means the default of the model and mode, see `model.info.defaults`.");
  type.def(py::init([](const py::kwargs& fields) { return with_fields({}, fields); }))
      .def(
          "replace",
          [](const GenerationRequest& self, const py::kwargs& fields) {
            return with_fields(self, fields);
          },
          "A copy with other values in the named fields.")
      .def_property_readonly(
          "mode", [](const GenerationRequest& self) { return mode_name(self.mode()); },
          "'text_to_image', 'image_to_image' or 'inpaint', by `image` and `mask`")
      .def("__eq__",
           [](const GenerationRequest& self, const py::object& other) {
             return py::isinstance<GenerationRequest>(other) &&
                    self == other.cast<const GenerationRequest&>();
           })
      .def("__repr__", &represent_request);
  type.attr("__hash__") = py::none();
  register_fields(type);
}

}  // namespace sdrbee::bindings
