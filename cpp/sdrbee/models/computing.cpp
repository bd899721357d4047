#include "sdrbee/models/computing.h"

#include <ATen/Parallel.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "sdrbee/models/weight_memory.h"

namespace sdrbee {
namespace {

// Of all weights of a model, below which other threads don't pay.
constexpr int64_t kSmallBytes = int64_t{64} << 20;

// Sets how many threads the calling one shares its operations with, itself included. How many it
// had before.
int share_among([[maybe_unused]] int threads) {
#ifdef _OPENMP
  const int before = at::get_num_threads();  // sets the thread's number when it asks first
  omp_set_num_threads(threads);
  return before;
#else
  return 0;
#endif
}

}  // namespace

Computing::Computing(ImageModel& model)
    : threads_(model.memory().whole_bytes() < kSmallBytes ? share_among(1) : 0) {}

Computing::~Computing() {
  if (threads_ > 0) share_among(threads_);
}

}  // namespace sdrbee
