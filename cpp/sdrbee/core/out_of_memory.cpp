#include "sdrbee/core/out_of_memory.h"

#include <c10/util/Exception.h>
#if __has_include(<dnnl.hpp>)
#include <dnnl.hpp>
#endif

#include <new>
#include <string_view>

#include "sdrbee/core/error.h"

namespace sdrbee {

bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const OutOfMemory*>(&error) != nullptr) return true;
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
#if __has_include(<dnnl.hpp>)
  if (const auto* of_onednn = dynamic_cast<const dnnl::error*>(&error))
    return of_onednn->status == dnnl_out_of_memory;
#endif
  // c10's allocator reports a failed allocation as a plain c10::Error on the CPU.
  const auto* of_libtorch = dynamic_cast<const c10::Error*>(&error);
  if (of_libtorch == nullptr) return false;
  const std::string_view text = of_libtorch->what_without_backtrace();
  return text.find("not enough memory") != std::string_view::npos ||
         text.find("can't allocate memory") != std::string_view::npos;
}

}  // namespace sdrbee
