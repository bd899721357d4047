// The engine in Python: jobs go in, events and pictures come out.
#include "sdrbee/engine/engine.h"

#include <pybind11/chrono.h>
#include <pybind11/stl.h>

#include <memory>
#include <utility>

#include "bindings.h"
#include "model_origin.h"
#include "news.h"
#include "picture.h"
#include "results.h"
#include "sdrbee/core/error.h"

namespace sdrbee::bindings {
namespace {

using engine::Engine;
using engine::Job;
using engine::JobEvent;
using NamedModels = std::vector<std::pair<std::string, ModelOrigin>>;
using Seconds = std::chrono::duration<double>;

// Keeps a listener while Python holds it.
struct Listening {
  std::shared_ptr<void> handle;
};

Listening listen(Job& job, const std::shared_ptr<News>& news, uint64_t number) {
  return {job.listen([news, number] { news->tell(number); })};
}

py::tuple events(const Job& job, size_t cursor, double timeout) {
  std::vector<JobEvent> news;
  if (timeout <= 0.0) {  // nothing to wait for: another thread would only take the GIL
    news = job.events(cursor, Seconds(0.0));
  } else {
    const py::gil_scoped_release unlocked;
    news = job.events(cursor, Seconds(timeout));
  }
  return py::make_tuple(py::cast(std::move(news)), cursor);
}

py::object preview_of(const JobEvent& event) {
  if (event.preview == nullptr) return py::none();
  return py::cast(Picture{*event.preview, std::nullopt, nullptr});
}

ModelInfo info_of(const std::string& name, const ModelOrigin& origin, const std::string& device) {
  ModelDescription description = describe_model(origin, device);
  if (description.info) return std::move(*description.info);
  std::string missing;
  for (const std::string& part : description.missing)
    missing += (missing.empty() ? "" : ", ") + part;
  throw CheckpointError(
      message("[", name, "] lacks ", missing, "; give these components when you add the model"));
}

engine::ModelSource source_of(const std::string& name, const ModelOrigin& origin,
                              const std::vector<std::string>& devices) {
  return {.name = name,
          .info = info_of(name, origin, devices.front()),
          .load =
              [origin, devices](int64_t worker, std::optional<int64_t> limit) {
                return load_model(origin, devices[static_cast<size_t>(worker)], limit);
              },
          .memory_limit = memory_limit_of(origin)};
}

std::unique_ptr<Engine> make_engine(const NamedModels& models,
                                    const std::vector<std::string>& devices,
                                    engine::EngineOptions options) {
  if (devices.empty()) throw InvalidRequest("[devices] expected one or more but got none");
  std::vector<engine::ModelSource> sources;
  for (const auto& [name, origin] : models) sources.push_back(source_of(name, origin, devices));
  options.workers = static_cast<int64_t>(devices.size());
  return std::make_unique<Engine>(std::move(sources), options);
}

// Stopping waits for worker threads, which may need the GIL to get on.
struct StopWithoutGil {
  void operator()(Engine* engine) const {
    const py::gil_scoped_release unlocked;
    delete engine;
  }
};

engine::StoreOptions make_store_options(std::optional<int64_t> memory_budget,
                                        std::optional<int64_t> max_loaded,
                                        std::optional<double> keep_alive) {
  engine::StoreOptions options{.memory_budget = memory_budget, .max_loaded = max_loaded};
  if (keep_alive) options.keep_alive = Seconds(*keep_alive);
  return options;
}

engine::EngineOptions make_options(int64_t queue_limit, int64_t max_batch, bool preload,
                                   std::optional<double> checkpoint_interval,
                                   const engine::StoreOptions& store) {
  engine::EngineOptions options{
      .queue_limit = queue_limit, .max_batch = max_batch, .preload = preload, .store = store};
  if (checkpoint_interval) options.checkpoint_interval = Seconds(*checkpoint_interval);
  return options;
}

engine::JobOptions make_job_options(std::string model, int64_t priority,
                                    std::optional<double> deadline, int64_t preview_every,
                                    const std::optional<py::bytes>& resume) {
  engine::JobOptions options{
      .model = std::move(model), .priority = priority, .preview_every = preview_every};
  if (deadline) options.deadline = Seconds(*deadline);
  if (resume) {
    const std::string_view bytes = *resume;
    options.resume.assign(bytes.begin(), bytes.end());
    // Empty bytes are damaged ones, not none.
    if (bytes.empty()) throw CheckpointError("[checkpoint] damaged bytes: there are none");
  }
  return options;
}

py::object checkpoint_of(const Job& job) {
  const auto bytes = job.checkpoint();
  if (bytes == nullptr) return py::none();
  return py::bytes(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

// The answers of a load, which Python waits for in slices, to notice Ctrl-C.
struct Loading {
  std::vector<std::shared_future<void>> answers;

  // Whether all workers have answered; throws what one of them failed with.
  bool wait(double timeout) const {
    const auto end = engine::Clock::now() +
                     std::chrono::duration_cast<engine::Clock::duration>(Seconds(timeout));
    for (const auto& answer : answers)
      if (answer.wait_until(end) != std::future_status::ready) return false;
    for (const auto& answer : answers) answer.get();
    return true;
  }
};

py::dict loaded_to_python(const engine::LoadedModel& model) {
  py::dict entry;
  entry["name"] = model.name;
  entry["bytes"] = model.bytes;
  entry["pinned"] = model.pinned;
  entry["in_use"] = model.in_use;
  entry["idle"] = model.idle.count();
  return entry;
}

py::dict status(const Engine& engine) {
  engine::EngineStatus status;
  {
    const py::gil_scoped_release unlocked;
    status = engine.status();
  }
  py::list workers;
  for (const engine::WorkerStatus& worker : status.workers) {
    py::dict entry;
    entry["model"] = worker.model.empty() ? py::none() : py::cast(worker.model);
    entry["load_error"] = worker.load_error.empty() ? py::none() : py::cast(worker.load_error);
    entry["jobs"] = worker.jobs;
    entry["overdue"] = worker.overdue.count();
    py::list loaded;
    for (const engine::LoadedModel& model : worker.loaded) loaded.append(loaded_to_python(model));
    entry["loaded"] = loaded;
    entry["loads"] = worker.loads.count;
    entry["load_seconds"] = worker.loads.time.count();
    workers.append(entry);
  }
  py::dict result;
  result["queued"] = status.queued;
  result["workers"] = workers;
  return result;
}

void register_job(py::module_& module) {
  py::class_<JobEvent>(module, "JobEvent", "Something that happened to a job.")
      .def_property_readonly(
          "kind", [](const JobEvent& self) { return engine::event_name(self.kind); },
          "queued, started, step, preview, checkpoint, done, failed or cancelled")
      .def_readonly("position", &JobEvent::position, "of queued: jobs that come first")
      .def_readonly("image_index", &JobEvent::image_index,
                    "of step and preview: which picture of the request, 0..")
      .def_readonly("step", &JobEvent::step, "of step and preview: steps taken of that picture")
      .def_readonly("total", &JobEvent::total,
                    "steps of that picture; None where the sampler finds them on the way")
      .def_property_readonly("preview", &preview_of, "of preview: the picture so far");
  py::class_<Listening>(module, "Listening", "Keeps a listener of a job while it is held.");
  py::class_<News, std::shared_ptr<News>>(module, "News",
                                          "Which jobs have news, for an event loop.")
      .def(py::init<>())
      .def("fileno", &News::descriptor)
      .def("take", &News::take);
  py::class_<Job, std::shared_ptr<Job>>(module, "Job", "sdrbee.Job is made from it.")
      .def_property_readonly("id", &Job::id)
      .def_property_readonly("request", &Job::request)
      .def_property_readonly("model", [](const Job& self) { return self.options().model; })
      .def_property_readonly("state", [](const Job& self) { return state_name(self.state()); })
      .def_property_readonly("ended", &Job::ended)
      .def("checkpoint", &checkpoint_of)
      .def("cancel", &Job::cancel, py::call_guard<py::gil_scoped_release>())
      .def("events", &events, py::arg("cursor"), py::arg("timeout"))
      .def(
          "wait", [](const Job& self, double timeout) { return self.wait(Seconds(timeout)); },
          py::arg("timeout"), py::call_guard<py::gil_scoped_release>())
      .def("pictures",
           [](const Job& self) {
             return results_to_python(std::vector<GeneratedImage>(self.pictures()));
           })
      .def("listen", &listen, py::arg("news"), py::arg("number"));
}

void register_options(py::module_& module) {
  py::class_<engine::StoreOptions>(module, "StoreOptions", "Which models stay in memory.")
      .def(py::init(&make_store_options), py::arg("memory_budget").none(true),
           py::arg("max_loaded").none(true), py::arg("keep_alive").none(true));
  py::class_<engine::EngineOptions>(module, "EngineOptions", "Limits of an engine.")
      .def(py::init(&make_options), py::arg("queue_limit"), py::arg("max_batch"),
           py::arg("preload"), py::arg("checkpoint_interval").none(true), py::arg("store"));
  py::class_<engine::JobOptions>(module, "JobOptions", "What a job asks beside its pictures.")
      .def(py::init(&make_job_options), py::arg("model"), py::arg("priority"),
           py::arg("deadline").none(true), py::arg("preview_every"), py::arg("resume").none(true));
}

}  // namespace

void register_engine(py::module_& module) {
  register_options(module);
  register_job(module);
  py::class_<Loading>(module, "Loading", "A model on its way into the memory of all workers.")
      .def("wait", &Loading::wait, py::arg("timeout"), py::call_guard<py::gil_scoped_release>());
  py::class_<Engine, std::unique_ptr<Engine, StopWithoutGil>>(module, "Engine",
                                                              "sdrbee.Engine is made from it.")
      .def(py::init([](const NamedModels& models, const std::vector<std::string>& devices,
                       const engine::EngineOptions& options) {
             const py::gil_scoped_release unlocked;
             return std::unique_ptr<Engine, StopWithoutGil>(
                 make_engine(models, devices, options).release());
           }),
           py::arg("models"), py::arg("devices"), py::arg("options"))
      .def(
          "add",
          [](Engine& self, const std::string& name, const ModelOrigin& origin,
             const std::vector<std::string>& devices) {
            self.add(source_of(name, origin, devices));
          },
          py::arg("name"), py::arg("origin"), py::arg("devices"),
          py::call_guard<py::gil_scoped_release>())
      .def("submit", &Engine::submit, py::arg("request"), py::arg("options"),
           py::call_guard<py::gil_scoped_release>())
      .def("check_room", &Engine::check_room, py::arg("count"))
      .def(
          "load", [](Engine& self, const std::string& name) { return Loading{self.load(name)}; },
          py::arg("name"), py::call_guard<py::gil_scoped_release>())
      .def("unload", &Engine::unload, py::arg("name"), py::call_guard<py::gil_scoped_release>())
      .def("pin", &Engine::pin, py::arg("name"), py::arg("pinned"),
           py::call_guard<py::gil_scoped_release>())
      .def("stop", &Engine::stop, py::arg("checkpoint"), py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("models",
                             [](const Engine& self) {
                               std::vector<std::pair<std::string, ModelInfo>> infos;
                               for (const engine::ModelSource* model : self.models())
                                 infos.emplace_back(model->name, model->info);
                               return infos;
                             })
      .def_property_readonly("status", &status);
}

}  // namespace sdrbee::bindings
