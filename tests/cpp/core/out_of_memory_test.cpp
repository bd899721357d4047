#include "sdrbee/core/out_of_memory.h"

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <dnnl.hpp>
#include <new>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

TEST(IsOutOfMemory, KnowsEveryKindOfFailedAllocation) {
  EXPECT_TRUE(is_out_of_memory(OutOfMemory("[here] no memory")));
  EXPECT_TRUE(is_out_of_memory(std::bad_alloc()));
  EXPECT_TRUE(is_out_of_memory(dnnl::error(dnnl_out_of_memory, "could not create a primitive")));
  try {
    at::empty({int64_t{1} << 50});  // more than any address space
    FAIL() << "expected an error";
  } catch (const std::exception& error) {
    EXPECT_TRUE(is_out_of_memory(error)) << error.what();
  }
}

TEST(IsOutOfMemory, LeavesOtherErrorsAlone) {
  EXPECT_FALSE(is_out_of_memory(InvalidRequest("[steps] expected more")));
  EXPECT_FALSE(is_out_of_memory(dnnl::error(dnnl_unimplemented, "could not create a primitive")));
  try {
    at::empty({2}).reshape({3});
    FAIL() << "expected an error";
  } catch (const std::exception& error) {
    EXPECT_FALSE(is_out_of_memory(error)) << error.what();
  }
}

}  // namespace
}  // namespace sdrbee
