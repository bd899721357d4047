#include "sdrbee/core/device.h"

#include <ATen/Context.h>
#include <dlfcn.h>

#include <filesystem>
#include <string>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

/// A library of the torch package that libtorch_cpu was loaded from: we record no search path.
std::string beside_libtorch(const char* file) {
  Dl_info libtorch;
  if (dladdr(reinterpret_cast<const void*>(&at::globalContext), &libtorch) == 0) return file;
  return std::filesystem::path(libtorch.dli_fname).replace_filename(file).string();
}

/// Loads CUDA's kernels into the process; libtorch_cpu alone registers none. False when the
/// installed torch is a CPU build.
bool load_cuda() {
  static const bool loaded =
      dlopen(beside_libtorch("libtorch_cuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr;
  return loaded;
}

bool has_cuda() { return load_cuda() && at::hasCUDA(); }

bool cpu_has_fast_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

[[noreturn]] void throw_absent(std::string_view name, std::string_view reason) {
  throw InvalidRequest(
      message("[device] '", name, "' is not available: ", reason, "; use device='cpu' or 'auto'"));
}

}  // namespace

Device parse_device(std::string_view name) {
  if (name == "auto") return has_cuda() ? Device("cuda:0") : Device(at::hasMPS() ? "mps" : "cpu");
  Device device(c10::DeviceType::CPU);
  try {
    device = Device(std::string(name));
  } catch (const c10::Error&) {
    throw InvalidRequest(
        message("[device] expected auto, cpu, cuda, cuda:N or mps but got '", name, "'"));
  }
  if (device.is_cuda()) {
    if (!has_cuda()) throw_absent(name, "no CUDA device, or the installed torch is a CPU build");
    if (!device.has_index()) device.set_index(0);
    const auto count = at::globalContext().getAcceleratorHooksInterface().deviceCount();
    if (device.index() >= count)
      throw_absent(name, message("this machine has ", int{count}, " CUDA devices"));
  } else if (device.is_mps()) {
    if (!at::hasMPS()) throw_absent(name, "no Metal device");
  } else if (!device.is_cpu()) {
    throw_absent(name, "sdrbee runs on cpu, cuda and mps");
  }
  return device;
}

Dtype default_dtype(Device device) {
  if (device.is_cpu()) return cpu_has_fast_bf16() ? Dtype::BFloat16 : Dtype::Float;
  if (device.is_cuda() && at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8())
    return Dtype::BFloat16;
  return Dtype::Half;
}

}  // namespace sdrbee
