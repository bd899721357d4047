// The JSON header of a safetensors file, parsed strictly.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// Longest header that is accepted, as in the reference implementation.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// One tensor of a safetensors file: `begin` and `end` count from the first byte after the header.
struct SafetensorsEntry {
  WeightInfo info;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> tensors;
  std::map<std::string, std::string> metadata;
  /// Where the data starts in the file: 8 + the header's length.
  uint64_t data_offset = 0;
};

/// Parses and checks the header at the start of `file`, the whole content of a safetensors file.
/// Throws CheckpointError naming `origin` and the key.
SafetensorsHeader parse_safetensors_header(std::string_view file, const std::string& origin);

/// The format's name of a dtype ("F16"). Throws CheckpointError when it has none.
std::string_view safetensors_dtype_name(Dtype dtype);

}  // namespace sdrbee::io
