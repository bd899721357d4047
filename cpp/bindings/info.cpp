// sdrbee.ModelInfo: what a loaded model is and can do.
#include <pybind11/stl.h>

#include <array>
#include <utility>

#include "bindings.h"
#include "sdrbee/models/model_description.h"
#include "sdrbee/models/model_info.h"
#include "sdrbee/models/weight_memory.h"

namespace sdrbee::bindings {
namespace {

// A read-only value type whose `_fields` lists what it holds, for printing and JSON.
template <typename T, typename... Members>
py::class_<T> bind_value(py::module_& module, const char* name, const char* doc,
                         std::pair<const char*, Members T::*>... members) {
  py::class_<T> type(module, name, doc);
  (type.def_readonly(members.first, members.second), ...);
  type.attr("_fields") = py::make_tuple(members.first...);
  type.def("__eq__", [](const T& self, const py::object& other) {
    return py::isinstance<T>(other) && self == other.cast<const T&>();
  });
  type.attr("__hash__") = py::none();
  return type;
}

template <typename T>
std::string represent(const py::object& self) {
  std::string text = std::string(py::str(self.attr("__class__").attr("__name__"))) + "(";
  std::string separator;
  for (const py::handle field : self.attr("_fields")) {
    text += separator + std::string(py::str(field)) + "=" +
            std::string(py::repr(py::getattr(self, field)));
    separator = ", ";
  }
  return text + ")";
}

py::dict defaults_by_mode(const ModelInfo& info) {
  py::dict result;
  for (const Mode mode : {Mode::TextToImage, Mode::ImageToImage, Mode::Inpaint})
    result[py::str(std::string(mode_name(mode)))] = info.defaults(mode);
  return result;
}

void register_model_info(py::module_& module) {
  py::class_<ModelInfo> type(module, "ModelInfo", "Architecture, variant and limits of a model.");
  type.def_readonly("family", &ModelInfo::family, "row of sdrbee.families()")
      .def_readonly("variant", &ModelInfo::variant, "row of the family")
      .def_readonly("source", &ModelInfo::source, "the path that it was loaded from")
      .def_readonly("components", &ModelInfo::components,
                    "the components that came from other places, by name: their paths")
      .def_readonly("device", &ModelInfo::device)
      .def_readonly("dtype", &ModelInfo::dtype)
      .def_readonly("warnings", &ModelInfo::warnings,
                    "what the files could not tell, and the option that does")
      .def_readonly("capabilities", &ModelInfo::capabilities)
      .def_readonly("sizes", &ModelInfo::sizes)
      .def_property_readonly(
          "default_size",
          [](const ModelInfo& self) {
            return py::make_tuple(self.default_size.width, self.default_size.height);
          },
          "(width, height) in pixels")
      .def_property_readonly("defaults", &defaults_by_mode,
                             "the values that a request leaves open, by mode")
      .def_readonly("max_sequence_length", &ModelInfo::max_sequence_length,
                    "default tokens of the T5 or Qwen3 text encoder; 0 without one")
      .def_readonly("skippable_layers", &ModelInfo::skippable_layers,
                    "blocks that skip-layer guidance may leave out; 0 where it has no effect")
      .def_readonly("latent_channels", &ModelInfo::latent_channels)
      .def_readonly("latent_downscale", &ModelInfo::latent_downscale,
                    "pixels per latent cell and side")
      .def("__repr__", &represent<ModelInfo>);
  type.attr("_fields") =
      py::make_tuple("family", "variant", "source", "components", "device", "dtype", "warnings",
                     "capabilities", "sizes", "default_size", "defaults", "max_sequence_length",
                     "skippable_layers", "latent_channels", "latent_downscale");
}

void register_description(py::module_& module) {
  bind_value<StoredComponent>(
      module, "StoredComponent", "A component's weights as its files store them.",
      std::pair{"class_name", &StoredComponent::class_name},
      std::pair{"parameters", &StoredComponent::parameters},
      std::pair{"bytes", &StoredComponent::bytes}, std::pair{"types", &StoredComponent::types})
      .def("__repr__", &represent<StoredComponent>);
  bind_value<ComponentMemory>(
      module, "ComponentMemory", "A component's weights in memory.",
      std::pair{"bytes", &ComponentMemory::bytes}, std::pair{"loaded", &ComponentMemory::loaded},
      std::pair{"loads", &ComponentMemory::loads}, std::pair{"uses", &ComponentMemory::uses},
      std::pair{"kept_bytes", &ComponentMemory::kept_bytes})
      .def("__repr__", &represent<ComponentMemory>);
  py::class_<ModelDescription> type(module, "ModelDescription", "What a model's headers tell.");
  type.def_readonly("family", &ModelDescription::family, "row of sdrbee.families()")
      .def_readonly("pipeline_class", &ModelDescription::pipeline_class,
                    "the class of diffusers that it is for")
      .def_readonly("info", &ModelDescription::info,
                    "as the loaded model has it; None while components are missing")
      .def_readonly("components", &ModelDescription::components, "components with weights, by name")
      .def_readonly("missing", &ModelDescription::missing,
                    "components that must come from other places")
      .def("__repr__", &represent<ModelDescription>);
  type.attr("_fields") =
      py::make_tuple("family", "pipeline_class", "info", "components", "missing");
}

}  // namespace

void register_info(py::module_& module) {
  bind_value<ModeDefaults>(module, "ModeDefaults", "What a request leaves open, for one mode.",
                           std::pair{"steps", &ModeDefaults::steps},
                           std::pair{"guidance_scale", &ModeDefaults::guidance_scale},
                           std::pair{"strength", &ModeDefaults::strength})
      .def("__repr__", &represent<ModeDefaults>);
  bind_value<Capabilities>(
      module, "Capabilities", "What a model accepts.",
      std::pair{"text_to_image", &Capabilities::text_to_image},
      std::pair{"image_to_image", &Capabilities::image_to_image},
      std::pair{"inpaint", &Capabilities::inpaint},
      std::pair{"native_inpaint", &Capabilities::native_inpaint},
      std::pair{"guidance", &Capabilities::guidance},
      std::pair{"distilled_guidance", &Capabilities::distilled_guidance},
      std::pair{"true_guidance", &Capabilities::true_guidance},
      std::pair{"negative_prompt", &Capabilities::negative_prompt},
      std::pair{"prompt_2", &Capabilities::prompt_2},
      std::pair{"prompt_3", &Capabilities::prompt_3}, std::pair{"framing", &Capabilities::framing},
      std::pair{"control_image", &Capabilities::control_image},
      std::pair{"reference_image", &Capabilities::reference_image},
      std::pair{"tiling", &Capabilities::tiling}, std::pair{"embedding", &Capabilities::embedding},
      std::pair{"lora", &Capabilities::lora}, std::pair{"controlnet", &Capabilities::controlnet})
      .def("__repr__", &represent<Capabilities>);
  bind_value<SizeLimits>(
      module, "SizeLimits", "Limits of each side in pixels; a side is a multiple of `multiple`.",
      std::pair{"multiple", &SizeLimits::multiple}, std::pair{"minimum", &SizeLimits::minimum},
      std::pair{"maximum", &SizeLimits::maximum})
      .def("__repr__", &represent<SizeLimits>);
  register_model_info(module);
  register_description(module);
}

}  // namespace sdrbee::bindings
