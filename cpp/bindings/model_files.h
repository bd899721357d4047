// Which model, and how to load it, from the words that Python users write.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/models/registry.h"

namespace sdrbee::bindings {

/// The arguments of sdrbee.load but for the device, with paths and sizes resolved.
struct ModelFiles {
  std::string path;
  std::string dtype;    ///< may be "auto"
  std::string variant;  ///< may be empty, as may the next
  std::string prediction;
  std::map<std::string, std::string> components;
  std::vector<std::string> vocabulary_candidates;
  std::optional<int64_t> memory_limit;
  std::optional<int64_t> prompt_cache;

  /// Throws InvalidRequest for names that nobody knows and devices that are not there.
  LoadOptions options(const std::string& device) const;
};

}  // namespace sdrbee::bindings
