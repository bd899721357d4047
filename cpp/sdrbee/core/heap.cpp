#include "sdrbee/core/heap.h"

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace sdrbee {

void give_back_freed_memory() {
#ifdef __GLIBC__
  ::malloc_trim(/*pad=*/0);
#endif
}

}  // namespace sdrbee
