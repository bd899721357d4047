#include "sdrbee/io/file_hash.h"

#include <algorithm>

#include "sdrbee/core/error.h"

namespace sdrbee::io {

void add_content(Sha256& hash, const MappedFile& file) {
  constexpr size_t kPieceBytes = size_t{1} << 24;
  for (auto rest = file.bytes(); !rest.empty();) {
    const auto piece = rest.first(std::min(kPieceBytes, rest.size()));
    hash.update(piece);
    file.release_pages(piece);
    rest = rest.subspan(piece.size());
  }
}

std::string sha256_of_files(std::span<const std::filesystem::path> files) {
  Sha256 hash;
  for (const std::filesystem::path& path : files) {
    const auto file = MappedFile::open(path);
    // Lengths keep names and contents apart, so that no two sets give the same stream.
    const std::string name = path.filename().string();
    if (files.size() > 1) hash.update(message(name.size(), ":", name, file->bytes().size(), ":"));
    add_content(hash, *file);
  }
  return hash.hexadecimal();
}

}  // namespace sdrbee::io
