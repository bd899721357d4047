#include "sdrbee/core/typed_error.h"

#include <c10/util/Exception.h>

#include "sdrbee/core/error.h"
#include "sdrbee/core/out_of_memory.h"

namespace sdrbee {

std::exception_ptr typed_error(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error&) {
    return error;
  } catch (const c10::Error& foreign) {
    const char* text = foreign.what_without_backtrace();
    if (is_out_of_memory(foreign)) return std::make_exception_ptr(OutOfMemory(text));
    return std::make_exception_ptr(InternalError(message("[libtorch] ", text)));
  } catch (const std::exception& foreign) {
    if (!is_out_of_memory(foreign)) return error;
    return std::make_exception_ptr(
        OutOfMemory("[memory] an allocation failed; try a smaller size or count"));
  } catch (...) {
    return error;
  }
}

}  // namespace sdrbee
