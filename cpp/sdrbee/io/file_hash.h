// What a file or a set of files is known by.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "sdrbee/core/sha256.h"
#include "sdrbee/io/file.h"

namespace sdrbee::io {

/// Adds the bytes of a file, piece by piece, so that it is never resident as a whole.
void add_content(Sha256& hash, const MappedFile& file);

/// SHA-256 in hexadecimal: of one file over its content alone, as publishers state it; of several
/// over their names and contents, in the given order. Throws CheckpointError.
std::string sha256_of_files(std::span<const std::filesystem::path> files);

}  // namespace sdrbee::io
