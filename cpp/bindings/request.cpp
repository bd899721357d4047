// sdrbee.GenerationRequest. All that is said about a field comes from visit_request_fields.
#include "bindings.h"
#include "controls.h"
#include "field_values.h"
#include "latents.h"
#include "picture.h"
#include "sdrbee/core/error.h"
#include "sdrbee/generation/request_fields.h"

namespace sdrbee::bindings {
namespace {

constexpr const char* kIpAdapters = "ip_adapters";

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

std::optional<Image> picture_from_python(std::string_view field, py::handle value) {
  if (value.is_none()) return std::nullopt;
  return image_from_python(value, field);
}

// IP-Adapters are controls that users keep apart: they follow the others.
void add_ip_adapters(GenerationRequest& request, py::handle value) {
  for (ControlRequest& adapter : controls_from_python(kIpAdapters, value))
    request.controls.push_back(std::move(adapter));
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
      "`preprocessor`, the name of what made `image`, for the recipe; of IP-Adapters also "
      "`images`, "
      "`mask` or `masks`, and `blocks`");
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
  module.def(
      "control_pictures",
      [] {
        py::list names;
        visit_control_pictures(
            [&](std::string_view one, std::string_view several, auto, std::string_view) {
              names.append(py::make_tuple(one, several));
            });
        return names;
      },
      "The names of the pictures of a control: of one alone, and of a list.");
  module.def(
      "max_control_pictures", [] { return kMaxControlPictures; },
      "How many pictures a control may have, and as many masks.");

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
