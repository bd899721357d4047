// The error tree of core/error.h as Python exceptions, one to one, and the boundary where foreign
// C++ exceptions become ours.
#include <exception>

#include "bindings.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/typed_error.h"
#include "sdrbee/engine/job.h"
#include "sdrbee/models/plugin_model.h"

namespace sdrbee::bindings {
namespace {

// Handles to the exception classes. They live as long as the process: a translator may run while
// the interpreter shuts down.
struct ErrorClasses {
  PyObject* error = nullptr;
  PyObject* invalid_request = nullptr;
  PyObject* checkpoint_error = nullptr;
  PyObject* unsupported_model = nullptr;
  PyObject* out_of_memory = nullptr;
  PyObject* cancelled = nullptr;
  PyObject* queue_full = nullptr;
  PyObject* deadline_exceeded = nullptr;
  PyObject* plugin_error = nullptr;
  PyObject* internal_error = nullptr;
};

ErrorClasses& classes() {
  static ErrorClasses instance;
  return instance;
}

PyObject* make_class(py::module_& module, const char* name, const py::tuple& bases,
                     const char* doc) {
  const std::string qualified = std::string("sdrbee.") + name;
  PyObject* made = PyErr_NewExceptionWithDoc(qualified.c_str(), doc, bases.ptr(), nullptr);
  if (made == nullptr) throw py::error_already_set();
  module.add_object(name, made);
  return made;
}

void set_error(PyObject* type, const char* text) { PyErr_SetString(type, text); }

void translate(std::exception_ptr thrown) {
  if (!thrown) return;
  const ErrorClasses& to = classes();
  try {
    std::rethrow_exception(typed_error(thrown));
  } catch (const InvalidRequest& error) {
    set_error(to.invalid_request, error.what());
  } catch (const CheckpointError& error) {
    set_error(to.checkpoint_error, error.what());
  } catch (const UnsupportedModel& error) {
    set_error(to.unsupported_model, error.what());
  } catch (const OutOfMemory& error) {
    set_error(to.out_of_memory, error.what());
  } catch (const Cancelled& error) {
    set_error(to.cancelled, error.what());
  } catch (const QueueFull& error) {
    set_error(to.queue_full, error.what());
  } catch (const engine::DeadlineExceeded& error) {
    set_error(to.deadline_exceeded, error.what());
  } catch (const PluginError& error) {
    set_error(to.plugin_error, error.what());
  } catch (const InternalError& error) {
    set_error(to.internal_error, error.what());
  } catch (const Error& error) {
    set_error(to.error, error.what());
  }
}

}  // namespace

void register_errors(py::module_& module) {
  ErrorClasses& to = classes();
  to.error = make_class(module, "Error", py::make_tuple(py::handle(PyExc_Exception)),
                        "Base of all errors that sdrbee raises on purpose.");
  const py::handle base(to.error);
  const auto derived = [&](const char* name, const char* doc) {
    return make_class(module, name, py::make_tuple(base), doc);
  };
  to.invalid_request =
      make_class(module, "InvalidRequest", py::make_tuple(base, py::handle(PyExc_ValueError)),
                 "The request is impossible: a field is out of range or fields contradict.");
  to.checkpoint_error = derived("CheckpointError",
                                "A model file is missing, damaged or does not hold what it should; "
                                "the message names file, key and shapes.");
  to.unsupported_model = derived("UnsupportedModel",
                                 "The model is well-formed but of a kind that this build does not "
                                 "run.");
  to.out_of_memory =
      make_class(module, "OutOfMemory", py::make_tuple(base, py::handle(PyExc_MemoryError)),
                 "An allocation failed; the process is fine and a smaller job may work.");
  to.cancelled = derived("Cancelled", "The work was cancelled before its end.");
  to.queue_full = derived("QueueFull", "The engine's queue is at its limit.");
  to.deadline_exceeded =
      make_class(module, "DeadlineExceeded", py::make_tuple(base, py::handle(PyExc_TimeoutError)),
                 "The job was not done at its deadline.");
  to.plugin_error = derived("PluginError",
                            "A model from outside of sdrbee failed: it raised, or answered with a "
                            "wrong shape or NaN.");
  to.internal_error = derived("InternalError", "A bug of sdrbee: an internal condition failed.");
  py::register_exception_translator(&translate);
}

}  // namespace sdrbee::bindings
