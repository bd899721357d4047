#include "sdrbee/generation/field_checks.h"

#include <algorithm>
#include <cmath>

#include "sdrbee/core/error.h"

namespace sdrbee {

void check_integer(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    throw InvalidRequest(message("[", field, "] expected ", low, " to ", high, " but got ", value));
}

void check_number(const char* field, double value, double low, double high) {
  // Written so that NaN fails.
  if (!(value >= low && value <= high))
    throw InvalidRequest(message("[", field, "] expected ", low, " to ", high, " but got ", value));
}

void check_finite(const char* field, double value) {
  if (!std::isfinite(value))
    throw InvalidRequest(message("[", field, "] expected a finite number but got ", value));
}

void check_choice(const char* field, const std::string& value,
                  std::initializer_list<std::string_view> allowed) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  std::string listed;
  for (const std::string_view choice : allowed)
    listed += (listed.empty() ? "'" : ", '") + std::string(choice) + "'";
  throw InvalidRequest(message("[", field, "] expected one of ", listed, " but got '", value, "'"));
}

void check_picture(const char* field, const Image& image) {
  const auto expected = static_cast<uint64_t>(image.size.width) *
                        static_cast<uint64_t>(image.size.height) *
                        static_cast<uint64_t>(image.channels);
  if (image.size.width < 1 || image.size.height < 1 || image.pixels.size() != expected)
    throw InvalidRequest(message("[", field, "] the picture has no pixels or a wrong size: ",
                                 image.size.width, "x", image.size.height));
}

}  // namespace sdrbee
