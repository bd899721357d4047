// Files on disk: bounded reading, read-only mapping and writing that leaves no half file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sdrbee::io {

/// A regular file mapped read-only. The mapping lives as long as somebody holds the pointer.
class MappedFile {
 public:
  /// Throws CheckpointError naming the path when it is missing, a folder, unreadable or empty.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

  /// Lets the kernel take back the whole pages inside `range`; a later access reads them again
  /// from the file, so it is always safe, also while tensors still alias the range.
  void release_pages(std::span<const std::byte> range) const;

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::span<const std::byte> bytes_;
};

/// Whether `name` is a file name without any folder part, so that a hostile file that names another
/// one can't reach out of its folder.
bool is_plain_file_name(const std::string& name);

/// The whole content of a regular file. Throws CheckpointError naming the path when it is missing,
/// a folder, unreadable, or longer than `max_bytes`.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes);

/// Writes a file under a temporary name in the same folder and gives it its name on commit, so
/// that a crash or a full disk leaves the old file or none, never half of one. A path that is a
/// device or a pipe is written directly. All errors are Error naming the path.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);

  /// Removes the temporary file when commit was not reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);

  /// Flushes to the disk and renames. Nothing may be written after it.
  void commit();

 private:
  [[noreturn]] void fail(const char* action) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;  // empty when written directly
  int descriptor_ = -1;
};

/// Writes `bytes` as one AtomicFile.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace sdrbee::io
