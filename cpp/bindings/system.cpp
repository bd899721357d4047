// What sdrbee runs on, for `sdrbee doctor`.
#include <ATen/Parallel.h>

#include <string>

#include "bindings.h"
#include "sdrbee/core/build_info.h"
#include "sdrbee/core/device.h"
#include "sdrbee/core/error.h"

namespace sdrbee::bindings {
namespace {

struct SystemInfo {
  std::string sdrbee = sdrbee_version();
  std::string torch = torch_version();
  std::string cpu = cpu_level();
  int threads = thread_count();
  std::string device;
  std::string dtype;
};

SystemInfo system_info() {
  SystemInfo info;
  const Device device = parse_device("auto");
  info.device = device.str();
  info.dtype = dtype_name(default_dtype(device));
  return info;
}

void set_threads(int count) {
  if (count < 1) throw InvalidRequest(message("[threads] expected at least 1 but got ", count));
  at::set_num_threads(count);
}

}  // namespace

void register_system(py::module_& module) {
  py::class_<SystemInfo> type(module, "SystemInfo", "Versions, and what a model would run on.");
  type.def_readonly("sdrbee", &SystemInfo::sdrbee)
      .def_readonly("torch", &SystemInfo::torch)
      .def_readonly("cpu", &SystemInfo::cpu, "instruction set of the CPU kernels")
      .def_readonly("threads", &SystemInfo::threads, "CPU threads of one tensor operation")
      .def_readonly("device", &SystemInfo::device, "what device='auto' is here")
      .def_readonly("dtype", &SystemInfo::dtype, "what dtype='auto' is on that device");
  type.attr("_fields") = py::make_tuple("sdrbee", "torch", "cpu", "threads", "device", "dtype");
  module.def("system_info", &system_info, "Versions, and what device and dtype \"auto\" are.");
  module.def("set_threads", &set_threads, py::arg("count"),
             "Sets the CPU threads of one tensor operation. The last digits of a picture depend "
             "on it.");
}

}  // namespace sdrbee::bindings
