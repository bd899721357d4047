// A loaded model in Python: the boundary where requests go in and pictures come out.
#include <ATen/core/Tensor.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "latents.h"
#include "model_origin.h"
#include "picture.h"
#include "results.h"
#include "sdrbee/core/cancel.h"
#include "sdrbee/core/error.h"
#include "sdrbee/generation/generate.h"
#include "sdrbee/generation/recipe.h"
#include "session.h"

namespace sdrbee::bindings {
namespace {

void throw_if_interrupted() {
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

// The observer of a call: Ctrl-C is looked for after every step, also when nobody listens.
StepObserver observer_of(const py::object& on_step) {
  return [&on_step](const StepEvent& event) {
    const py::gil_scoped_acquire gil;
    throw_if_interrupted();
    if (on_step.is_none()) return;
    py::object preview = py::none();
    if (event.preview) preview = py::cast(Picture{*event.preview, std::nullopt, nullptr});
    on_step(event.step, event.total, preview);
  };
}

std::vector<GeneratedImage> generate(Session& session,
                                     const std::vector<GenerationRequest>& requests,
                                     const StepObserver& observer, const CancelToken& cancel) {
  const Session::Lock lock(session);
  if (requests.size() == 1) return session.generator().generate(requests.front(), observer, cancel);
  std::vector<GenerationRequest> single;
  for (const GenerationRequest& request : requests)
    for (GenerationRequest& one : split_count(resolve(request, session.model().info())))
      single.push_back(std::move(one));
  return session.generator().generate_batch(single, observer, cancel);
}

py::list generate_in_python(Session& session, std::vector<GenerationRequest> requests,
                            const py::object& on_step, const std::optional<CancelToken>& cancel) {
  std::vector<GeneratedImage> made;
  {
    const StepObserver observer = observer_of(on_step);
    const py::gil_scoped_release unlocked;
    made = generate(session, requests, observer, cancel.value_or(CancelToken()));
  }
  return results_to_python(std::move(made));
}

void advance_in_python(Session& session, const std::vector<Generation*>& generations) {
  {
    const py::gil_scoped_release unlocked;
    const Session::Lock lock(session);
    sdrbee::advance(session.model(), generations);
  }
  throw_if_interrupted();
}

py::object finish_in_python(Session& session, const Generation& generation) {
  GeneratedImage made;
  {
    const py::gil_scoped_release unlocked;
    const Session::Lock lock(session);
    made = finish(session.model(), Generation(generation));
  }
  return result_to_python(std::move(made));
}

GenerationRequest replay_in_python(Session& session, const std::string& recipe,
                                   const py::dict& pictures, const py::object& latents,
                                   const py::sequence& controls) {
  auto json = nlohmann::json::parse(recipe, nullptr, false);
  if (json.is_discarded()) throw InvalidRequest("[recipe] expected JSON text but got other text");
  RecipeInputs inputs{.pictures = {}, .latents = latents_from_python(latents), .controls = {}};
  for (const py::handle picture : controls)
    inputs.controls.push_back(
        image_from_python(picture, message("controls[", inputs.controls.size(), "]")));
  for (const auto& [name, value] : pictures) {
    if (value.is_none()) continue;
    const auto field = name.cast<std::string>();
    inputs.pictures[field] = image_from_python(value, field);
  }
  const py::gil_scoped_release unlocked;
  const Session::Lock lock(session);
  return replay_request(json, session.model(), std::move(inputs));
}

std::unique_ptr<Session> load(const ModelOrigin& origin, const std::string& device) {
  return std::make_unique<Session>(load_model(origin, device));
}

void register_generation(py::module_& module) {
  py::class_<Generation>(module, "Generation",
                         "One picture being made, between two steps: a value that can be saved.")
      .def_property_readonly("step", &Generation::steps_taken, "steps taken")
      .def_property_readonly("total", &Generation::steps_total,
                             "steps in all; None where the sampler finds them on the way")
      .def_property_readonly("done", &Generation::done, "whether every step is taken");
}

}  // namespace

void register_model(py::module_& module) {
  py::class_<CancelToken>(module, "CancelToken",
                          "Cancels a running generation, from any thread, within one step.")
      .def(py::init())
      .def("cancel", &CancelToken::cancel)
      .def_property_readonly("cancelled", &CancelToken::cancelled);
  register_generation(module);
  py::class_<Session>(module, "Session", "A loaded model; sdrbee.Model is made from it.")
      .def_property_readonly(
          "info", [](const Session& self) { return self.info(); }, "what the model is and can do")
      .def_property_readonly(
          "memory", [](Session& self) { return self.memory().states(); },
          "what the components' weights take in memory, by name")
      .def(
          "warm_up",
          [](Session& self) {
            const Session::Lock lock(self);
            self.memory().load_all();
          },
          py::call_guard<py::gil_scoped_release>())
      .def("generate", &generate_in_python, py::arg("requests"), py::arg("on_step").none(true),
           py::arg("cancel").none(true))
      .def(
          "begin",
          [](Session& self, const GenerationRequest& request) {
            const Session::Lock lock(self);
            return begin(self.model(), request);
          },
          py::arg("request"), py::call_guard<py::gil_scoped_release>())
      .def("advance", &advance_in_python, py::arg("generations"))
      .def("finish", &finish_in_python, py::arg("generation"))
      .def(
          "save",
          [](Session& self, const Generation& generation) {
            const std::vector<uint8_t> bytes = save(generation, self.info());
            return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
          },
          py::arg("generation"))
      .def(
          "restore",
          [](Session& self, const py::bytes& saved) {
            const std::string_view text = saved;
            const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
            const py::gil_scoped_release unlocked;
            const Session::Lock lock(self);
            return restore(self.model(), bytes);
          },
          py::arg("saved"))
      .def("replay_request", &replay_in_python, py::arg("recipe"), py::arg("pictures"),
           py::arg("latents"), py::arg("controls"));
  module.def("load", &load, py::arg("origin"), py::arg("device"),
             py::call_guard<py::gil_scoped_release>());
  module.def("describe", &describe_model, py::arg("origin"), py::arg("device"),
             py::call_guard<py::gil_scoped_release>());
}

}  // namespace sdrbee::bindings
