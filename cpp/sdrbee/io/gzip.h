// Small gzip files, such as OpenAI's CLIP vocabulary.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace sdrbee::io {

/// The unpacked content of a gzip file. Throws CheckpointError naming the path when it is missing,
/// damaged, cut off, or unpacks to more than `max_bytes` (a bomb costs no more memory than that).
std::string read_gzip(const std::filesystem::path& path, uint64_t max_bytes);

}  // namespace sdrbee::io
