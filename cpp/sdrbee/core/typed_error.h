// Foreign errors as ours.
#pragma once

#include <exception>

namespace sdrbee {

/// The error itself where it is one of ours (core/error.h) or unknown; OutOfMemory for failed
/// allocations of libtorch, oneDNN and the standard library; InternalError for libtorch's others.
std::exception_ptr typed_error(std::exception_ptr error);

}  // namespace sdrbee
