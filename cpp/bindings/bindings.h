// What the binding files share: one register function for each file, in the order in which
// module.cpp calls them.
#pragma once

#include <pybind11/pybind11.h>

namespace sdrbee::bindings {

namespace py = pybind11;

/// The exceptions of sdrbee and the translation of C++ errors into them.
void register_errors(py::module_& module);

/// Image: pixels that know how they were made.
void register_image(py::module_& module);

/// GenerationRequest and the list of its fields.
void register_request(py::module_& module);

/// ModelInfo and what it is made of.
void register_info(py::module_& module);

/// The tables of samplers, schedules and model families.
void register_tables(py::module_& module);

/// ModelFiles: what load, describe and engines take.
void register_model_files(py::module_& module);

/// Plugin and Prompt.
void register_plugin(py::module_& module);

/// CancelToken, Generation and Model.
void register_model(py::module_& module);

/// Engine and Job.
void register_engine(py::module_& module);

/// The conversion of weight files.
void register_convert(py::module_& module);

/// ClipTokenizer.
void register_tokenizer(py::module_& module);

/// Threads, CPU level, devices and versions.
void register_system(py::module_& module);

}  // namespace sdrbee::bindings
