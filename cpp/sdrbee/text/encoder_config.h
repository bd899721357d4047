// How the text encoders read numbers of their configurations.
#pragma once

#include <cstdint>

#include "sdrbee/io/json.h"

namespace sdrbee::text {

/// A number of at least 1; `fallback` where the key is missing. Throws CheckpointError.
inline int64_t positive(const io::Config& config, const char* key, int64_t fallback) {
  const int64_t value = config.int64_or(key, fallback);
  if (value < 1) config.reject(key, "a positive integer");
  return value;
}

}  // namespace sdrbee::text
