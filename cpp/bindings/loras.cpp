#include "loras.h"

#include <pybind11/stl.h>

namespace sdrbee::bindings {

// The forms are told apart in Python, where the model store is.
std::vector<lora::LoraUse> loras_from_python(py::handle value) {
  std::vector<lora::LoraUse> loras;
  if (value.is_none()) return loras;
  const py::list rows = py::module_::import("sdrbee.adapters").attr("read_loras")(value);
  for (const py::handle row : rows)
    loras.push_back({.name = row["name"].cast<std::string>(),
                     .path = row["path"].cast<std::string>(),
                     .strength = row["strength"].cast<double>(),
                     .blocks = row["blocks"].cast<std::vector<double>>(),
                     .strict = row["strict"].cast<bool>(),
                     .sha256 = row["sha256"].cast<std::string>()});
  return loras;
}

py::list loras_to_python(const std::vector<lora::LoraUse>& loras) {
  py::list rows;
  for (const lora::LoraUse& use : loras) {
    py::dict row;
    row["name"] = use.name;
    row["path"] = use.path;
    row["strength"] = use.strength;
    row["blocks"] = use.blocks;
    row["strict"] = use.strict;
    row["sha256"] = use.sha256;
    rows.append(row);
  }
  return rows;
}

}  // namespace sdrbee::bindings
