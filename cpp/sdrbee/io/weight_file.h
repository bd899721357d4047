// A file of weights of any format, opened by what is in it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sdrbee/io/weight_source.h"

namespace sdrbee::io {

/// One file of weights, or the shards of one.
struct WeightFile {
  std::shared_ptr<const WeightSource> source;
  /// Texts that the header carries: `__metadata__` of safetensors, text values of GGUF.
  std::map<std::string, std::string> metadata;
  std::vector<std::filesystem::path> files;  // the index of shards included
};

/// Opens a .safetensors file, a GGUF file (known by its first bytes), or the shards that a .json
/// index lists. Numbers that are stored with scales (fp8) are scaled. Throws CheckpointError naming
/// the file for damaged ones, for one shard of several given alone, and for shards that are missing
/// or of another model, and UnsupportedModel for pickle files (with the conversion).
WeightFile open_weight_file(const std::filesystem::path& path);

}  // namespace sdrbee::io
