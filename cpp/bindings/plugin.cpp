#include "plugin.h"

#include <ATen/ops/empty.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstring>
#include <utility>
#include <vector>

#include "bindings.h"
#include "held_object.h"
#include "results.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/json.h"
#include "sdrbee/models/plugin_model.h"
#include "sdrbee/models/registry.h"

namespace sdrbee::bindings {
namespace {

// What a plug-in may say that it can do.
constexpr std::pair<const char*, bool Capabilities::*> kCapabilities[] = {
    {"text_to_image", &Capabilities::text_to_image},
    {"image_to_image", &Capabilities::image_to_image},
    {"inpaint", &Capabilities::inpaint},
    {"guidance", &Capabilities::guidance},
    {"negative_prompt", &Capabilities::negative_prompt},
    {"prompt_2", &Capabilities::prompt_2},
    {"prompt_3", &Capabilities::prompt_3},
};

// The last line that Python prints of an error.
std::string last_line(const py::error_already_set& error) {
  const py::object lines =
      py::module_::import("traceback").attr("format_exception_only")(error.type(), error.value());
  const py::list words = lines.attr("__getitem__")(-1).attr("strip")().attr("splitlines")();
  return words.empty() ? "" : words[words.size() - 1].cast<std::string>();
}

// Calls into Python with the GIL; what is raised there becomes an error that names `place`.
template <typename Call>
auto in_python(const std::string& place, const Call& call) {
  const py::gil_scoped_acquire gil;
  try {
    return call();
  } catch (py::error_already_set& error) {
    if (error.matches(PyExc_KeyboardInterrupt)) throw;
    const std::string told = message("[", place, "] ", last_line(error));
    const py::object invalid = py::module_::import("sdrbee._native").attr("InvalidRequest");
    if (error.matches(invalid)) throw InvalidRequest(told);
    throw PluginError(told);
  } catch (const py::cast_error& error) {
    throw PluginError(message("[", place, "] ", error.what()));
  }
}

Tensor tensor_of(const py::object& answer) {
  using Array = py::array_t<float, py::array::c_style | py::array::forcecast>;
  const Array array = Array::ensure(answer);
  if (!array)
    throw py::cast_error(
        message("expected a float array but got ", std::string(py::repr(py::type::of(answer)))));
  const std::vector<int64_t> shape(array.shape(), array.shape() + array.ndim());
  Tensor values = at::empty(shape, at::kFloat);
  std::memcpy(values.mutable_data_ptr(), array.data(), static_cast<size_t>(array.nbytes()));
  return values;
}

// Forwards to an object of a Python class.
class PythonModel final : public PluginModel {
 public:
  PythonModel(ModelInfo info, std::shared_ptr<py::object> object)
      : info_(std::move(info)), object_(std::move(object)) {}

  ModelInfo info() const override { return info_; }
  std::string identity() const override { return info_.family + " " + info_.variant; }

  Tensor encode(const Prompt& prompt) override {
    const Tensor context = call("encode", [&] { return py::make_tuple(py::cast(prompt)); });
    return context.dim() == 2 ? context.unsqueeze(0) : context;
  }

  Tensor denoise(const Tensor& latents, const Tensor& timesteps, const Tensor& context) override {
    return call("denoise", [&] {
      return py::make_tuple(array_from_tensor(latents), array_from_tensor(timesteps),
                            array_from_tensor(context));
    });
  }

  Tensor decode(const Tensor& latents) override {
    return call("decode", [&] { return py::make_tuple(array_from_tensor(latents)); });
  }

  Tensor encode_picture(const Tensor& picture) override {
    return call("encode_picture", [&] { return py::make_tuple(array_from_tensor(picture)); });
  }

 private:
  template <typename Arguments>
  Tensor call(const char* function, const Arguments& arguments) {
    return in_python(message(info_.family, ".", function),
                     [&] { return tensor_of(object_->attr(function)(*py::tuple(arguments()))); });
  }

  ModelInfo info_;
  std::shared_ptr<py::object> object_;
};

Capabilities capabilities_of(const std::vector<std::string>& names) {
  Capabilities can{.text_to_image = false,
                   .image_to_image = false,
                   .inpaint = false,
                   .guidance = false,
                   .negative_prompt = false};
  for (const std::string& name : names) {
    std::string known;
    bool found = false;
    for (const auto& [capability, member] : kCapabilities) {
      known += (known.empty() ? "'" : ", '") + std::string(capability) + "'";
      if (name != capability) continue;
      can.*member = true;
      found = true;
    }
    if (!found)
      throw PluginError(message("[capabilities] expected ", known, " but got '", name, "'"));
  }
  return can;
}

sampling::SchedulerConfig scheduler_of(const py::object& card, const std::string& id) {
  const py::object text = py::module_::import("json").attr("dumps")(card.attr("scheduler"));
  const std::string origin = id + ".scheduler";
  return sampling::SchedulerConfig::from_json(
      io::Config(io::parse_json(text.cast<std::string>(), origin), origin));
}

// What a class tells of itself by the attributes of sdrbee.plugins.ImageModel.
ModelInfo info_of(const py::object& card) {
  ModelInfo info;
  info.family = card.attr("id").cast<std::string>();
  info.variant = card.attr("version").cast<std::string>();
  info.source = "plugin:" + info.family;
  info.capabilities = capabilities_of(card.attr("capabilities").cast<std::vector<std::string>>());
  const auto [width, height] = card.attr("default_size").cast<std::pair<int64_t, int64_t>>();
  info.default_size = {width, height};
  info.latent_channels = card.attr("latent_channels").cast<int64_t>();
  info.latent_downscale = card.attr("latent_downscale").cast<int64_t>();
  info.sizes = {.multiple = info.latent_downscale,
                .minimum = info.latent_downscale,
                .maximum = card.attr("maximum_side").cast<int64_t>()};
  info.text_to_image = {.steps = card.attr("steps").cast<int64_t>(),
                        .guidance_scale = card.attr("guidance_scale").cast<double>(),
                        .strength = 1.0};
  info.image_to_image = info.inpaint = info.text_to_image;
  info.image_to_image.strength = card.attr("strength").cast<double>();
  info.scheduler = scheduler_of(card, info.family);
  info.device = "cpu";
  info.dtype = "fp32";
  if (info.latent_channels < 1 || info.latent_downscale < 1 || width < 1 || height < 1)
    throw PluginError(message("[", info.family, "] expected latent_channels, latent_downscale and ",
                              "default_size of 1 or more"));
  return info;
}

Plugin make_plugin(const py::object& card, py::object make) {
  return in_python("plugin",
                   [&] { return Plugin{.info = info_of(card), .make = hold(std::move(make))}; });
}

void register_prompt(py::module_& module) {
  py::class_<Prompt>(module, "Prompt", "A text that a plug-in encodes: see sdrbee.plugins.")
      .def_readonly("text", &Prompt::text, "None where the request gives none")
      .def_readonly("text_2", &Prompt::text_2, "the request's prompt_2 or negative_prompt_2")
      .def_readonly("text_3", &Prompt::text_3, "the request's prompt_3 or negative_prompt_3")
      .def_readonly("negative", &Prompt::negative, "what the picture is kept away from")
      .def_readonly("clip_skip", &Prompt::clip_skip, "of the request");
}

}  // namespace

std::unique_ptr<ImageModel> Plugin::load() const {
  auto object = in_python(info.family, [&] { return hold((*make)()); });
  return Registry::adopt(std::make_unique<PythonModel>(info, std::move(object)));
}

void register_plugin(py::module_& module) {
  register_prompt(module);
  py::class_<Plugin>(module, "Plugin", "A model in Python: its class and what makes it.")
      .def(py::init(&make_plugin), py::arg("card"), py::arg("make"))
      .def_property_readonly("info", [](const Plugin& self) { return self.info; });
}

}  // namespace sdrbee::bindings
