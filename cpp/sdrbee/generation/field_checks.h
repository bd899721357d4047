// Checks of one value of a request. All throw InvalidRequest naming the field and the value.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "sdrbee/core/image.h"

namespace sdrbee {

/// An integer from `low` to `high`.
void check_integer(const char* field, int64_t value, int64_t low, int64_t high);

/// A number from `low` to `high`; NaN is none.
void check_number(const char* field, double value, double low, double high);

void check_finite(const char* field, double value);

/// One of a few words.
void check_choice(const char* field, const std::string& value,
                  std::initializer_list<std::string_view> allowed);

/// A picture that has all the pixels of its size.
void check_picture(const char* field, const Image& image);

}  // namespace sdrbee
