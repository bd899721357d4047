// Checks of our own assumptions. A failed check is a bug of sdrbee, never of its caller.
#pragma once

#include <initializer_list>

#include "sdrbee/core/error.h"
#include "sdrbee/core/tensor.h"

/// Throws InternalError with the condition's text when `condition` is false.
#define SDRBEE_CHECK(condition, ...)                                                           \
  do {                                                                                         \
    if (!(condition))                                                                          \
      throw ::sdrbee::InternalError(                                                           \
          ::sdrbee::message("[", __func__, "] check failed: " #condition " ", ##__VA_ARGS__)); \
  } while (false)

/// Throws InternalError unless `tensor` has this shape; -1 stands for any extent:
/// `SDRBEE_CHECK_SHAPE(x, {-1, 4, -1, -1})`.
#define SDRBEE_CHECK_SHAPE(tensor, ...) \
  ::sdrbee::check_shape(__func__, #tensor, tensor, std::initializer_list<int64_t> __VA_ARGS__)

namespace sdrbee {

/// Implementation of SDRBEE_CHECK_SHAPE.
void check_shape(const char* where, const char* name, const Tensor& tensor,
                 std::initializer_list<int64_t> expected);

}  // namespace sdrbee
