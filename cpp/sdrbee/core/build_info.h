// What this build is and what it runs on: recipes and `doctor` tell it.
#pragma once

#include <string>

namespace sdrbee {

/// Version of sdrbee: "0.1.0".
std::string sdrbee_version();

/// Version of the torch that this build was compiled against: "2.13.0".
std::string torch_version();

/// The instruction set that torch's kernels use here: "AVX512", "AVX2", "DEFAULT", ...
std::string cpu_level();

/// Threads that one tensor operation may use.
int thread_count();

}  // namespace sdrbee
