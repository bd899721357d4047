// LoRAs of a request in Python.
#pragma once

#include <vector>

#include "bindings.h"
#include "sdrbee/lora/lora_use.h"

namespace sdrbee::bindings {

/// From a sequence of files, names, (file or name, strength) pairs, or dicts of the fields. What is
/// no file is looked up in the model store by sdrbee.adapters; a dict's `name` always is. Throws
/// TypeError, and what the look-up throws.
std::vector<lora::LoraUse> loras_from_python(py::handle value);

/// As a list of dicts.
py::list loras_to_python(const std::vector<lora::LoraUse>& loras);

}  // namespace sdrbee::bindings
