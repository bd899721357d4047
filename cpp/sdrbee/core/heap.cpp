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

size_t heap_block_bytes([[maybe_unused]] void* block) {
#ifdef __GLIBC__
  return ::malloc_usable_size(block);
#else
  return 0;
#endif
}

}  // namespace sdrbee
