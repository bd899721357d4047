#include "sdrbee/core/build_info.h"

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

namespace sdrbee {

std::string sdrbee_version() { return SDRBEE_VERSION; }

std::string torch_version() { return TORCH_VERSION; }

std::string cpu_level() { return at::get_cpu_capability(); }

int thread_count() { return at::get_num_threads(); }

}  // namespace sdrbee
