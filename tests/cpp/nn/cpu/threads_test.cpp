#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>

namespace sdrbee {
namespace {

// Compiled without OpenMP, at::parallel_for is a plain loop and every own kernel runs on one core.
TEST(Threads, ParallelForSharesTheWork) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  std::array<int, 2> thread_of = {-1, -1};
  at::parallel_for(0, 2, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) thread_of[static_cast<size_t>(i)] = at::get_thread_num();
  });
  at::set_num_threads(before);
  EXPECT_EQ(thread_of, (std::array<int, 2>{0, 1}));
}

}  // namespace
}  // namespace sdrbee
