// The tables of the engine: samplers, schedules, model families.
#include <pybind11/stl.h>

#include "bindings.h"
#include "sdrbee/models/registry.h"
#include "sdrbee/sampling/samplers.h"
#include "sdrbee/sampling/schedules.h"
#include "sdrbee/text/prompt_syntax.h"

namespace sdrbee::bindings {
namespace {

py::tuple names(std::span<const std::string_view> values) {
  py::list list;
  for (const std::string_view value : values) list.append(std::string(value));
  return py::tuple(list);
}

py::list sampler_list() {
  py::list rows;
  for (const sampling::SamplerRow& row : sampling::samplers()) rows.append(py::cast(row));
  return rows;
}

py::list schedule_list() {
  py::list rows;
  for (const sampling::ScheduleRow& row : sampling::schedules()) rows.append(py::cast(row));
  return rows;
}

py::list family_list() {
  py::list rows;
  for (const FamilyRow& row : Registry::families()) rows.append(py::cast(row));
  return rows;
}

void register_samplers(py::module_& module) {
  using sampling::SamplerRow;
  py::class_<SamplerRow> type(module, "Sampler", "One sampler.");
  type.def_readonly("name", &SamplerRow::name)
      .def_property_readonly(
          "aliases", [](const SamplerRow& self) { return names(self.aliases); },
          "other spellings and diffusers' class names")
      .def_readonly("description", &SamplerRow::description)
      .def_readonly("paper", &SamplerRow::paper, "authors, year and arXiv number")
      .def_readonly("order", &SamplerRow::order,
                    "order of convergence; of the part without noise where noise is drawn")
      .def_readonly("evaluations", &SamplerRow::evaluations,
                    "evaluations of the network in a step; fewer in the first or last step of some")
      .def_property_readonly(
          "schedules", [](const SamplerRow& self) { return names(self.schedules); },
          "schedules that it allows; the first one is the default")
      .def_property_readonly(
          "flow_schedules", [](const SamplerRow& self) { return names(self.flow_schedules); },
          "schedules that it allows with flow models; empty: it does not run them")
      .def_readonly("uses_eta", &SamplerRow::uses_eta)
      .def_readonly("default_eta", &SamplerRow::default_eta, "eta when none is given")
      .def_readonly("uses_churn", &SamplerRow::uses_churn, "whether s_churn has an effect")
      .def("__repr__",
           [](const SamplerRow& self) { return "<sampler " + std::string(self.name) + ">"; });
  type.attr("_fields") =
      py::make_tuple("name", "aliases", "description", "paper", "order", "evaluations", "schedules",
                     "flow_schedules", "uses_eta", "default_eta", "uses_churn");
  module.def("samplers", &sampler_list, "The samplers, in the order in which users see them.");
}

void register_schedules(py::module_& module) {
  using sampling::ScheduleRow;
  py::class_<ScheduleRow> type(module, "Schedule", "One schedule of noise levels.");
  type.def_readonly("name", &ScheduleRow::name)
      .def_readonly("description", &ScheduleRow::description)
      .def_readonly("paper", &ScheduleRow::paper, "authors, year and arXiv number, or the program")
      .def_readonly("uses_spacing", &ScheduleRow::uses_spacing,
                    "whether the timestep spacing makes a difference")
      .def("__repr__",
           [](const ScheduleRow& self) { return "<schedule " + std::string(self.name) + ">"; });
  type.attr("_fields") = py::make_tuple("name", "description", "paper", "uses_spacing");
  module.def("schedules", &schedule_list, "The schedules, in the order in which users see them.");
}

void register_families(py::module_& module) {
  py::class_<VariantRow> variant(module, "Variant", "One variant of a model family.");
  variant.def_readonly("id", &VariantRow::id)
      .def_readonly("description", &VariantRow::description)
      .def_readonly("aliases", &VariantRow::aliases, "other names of it, separated by spaces");
  variant.attr("_fields") = py::make_tuple("id", "description", "aliases");
  py::class_<FamilyRow> family(module, "Family", "One model family of the registry.");
  family.def_readonly("id", &FamilyRow::id)
      .def_readonly("description", &FamilyRow::description)
      .def_property_readonly("variants", [](const FamilyRow& self) {
        py::list rows;
        for (const VariantRow& row : self.variants) rows.append(py::cast(row));
        return py::tuple(rows);
      });
  family.attr("_fields") = py::make_tuple("id", "description", "variants");
  module.def("families", &family_list, "The model families of this build.");
}

}  // namespace

void register_tables(py::module_& module) {
  module.def(
      "overridable_components",
      [] {
        return std::vector<std::string>(io::kOverridableComponents.begin(),
                                        io::kOverridableComponents.end());
      },
      "What sdrbee.load takes from other places than the model.");
  module.def("prompt_syntaxes", &text::prompt_syntaxes, "How prompts may be read.");
  register_samplers(module);
  register_schedules(module);
  register_families(module);
}

}  // namespace sdrbee::bindings
