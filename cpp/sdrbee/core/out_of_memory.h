// Telling failed allocations from other errors.
#pragma once

#include <exception>

namespace sdrbee {

/// Whether the error tells of an allocation that failed: OutOfMemory, std::bad_alloc, or what
/// libtorch's allocators and oneDNN throw.
bool is_out_of_memory(const std::exception& error);

}  // namespace sdrbee
