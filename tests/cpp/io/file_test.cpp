#include "sdrbee/io/file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "sdrbee/core/error.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::file_count;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Files can't grow beyond `bytes` while it lives: what a full disk looks like to a process.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit = {bytes, old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_limit_ = {};
  void (*old_handler_)(int) = nullptr;
};

TEST(ReadFile, ReadsTheWholeContent) {
  const TemporaryFolder folder;
  const std::string text("a\0b\n", 4);
  write_text(folder / "x", text);
  EXPECT_EQ(read_file(folder / "x", 4), text);
}

TEST(ReadFile, NamesAPathThatIsMissingAFolderOrTooLong) {
  const TemporaryFolder folder;
  expect_error<CheckpointError>([&] { read_file(folder / "none", 9); }, (folder / "none").string(),
                                "No such file");
  expect_error<CheckpointError>([&] { read_file(folder.path(), 9); }, "a folder");
  write_text(folder / "x", "12345");
  expect_error<CheckpointError>([&] { read_file(folder / "x", 4); }, "at most 4 bytes but got 5");
}

TEST(ReadFile, RefusesAPipeWithoutWaiting) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error<CheckpointError>([&] { read_file(folder / "pipe", 9); }, "pipe", "expected a file");
}

TEST(MappedFile, RefusesAnEmptyFile) {
  const TemporaryFolder folder;
  write_text(folder / "x", "");
  expect_error<CheckpointError>([&] { MappedFile::open(folder / "x"); }, "empty");
}

TEST(MappedFile, ReadsTheSameAfterItsPagesWereReleased) {
  const TemporaryFolder folder;
  std::string text(100'000, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7);
  write_text(folder / "x", text);
  const auto file = MappedFile::open(folder / "x");
  file->release_pages(file->bytes().subspan(5000, 60'000));
  file->release_pages(file->bytes().subspan(10, 20));
  EXPECT_EQ(std::memcmp(file->bytes().data(), text.data(), text.size()), 0);
}

TEST(WriteFileAtomically, ReplacesAFile) {
  const TemporaryFolder folder;
  write_text(folder / "x", "old and longer");
  write_file_atomically(folder / "x", bytes_of("new"));
  EXPECT_EQ(read_text(folder / "x"), "new");
  EXPECT_EQ(file_count(folder.path()), 1U);
}

TEST(WriteFileAtomically, KeepsTheOldFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  write_text(folder / "x", "old");
  const std::string large(100'000, 'n');
  {
    const FileSizeLimit limit(50'000);
    expect_error<Error>([&] { write_file_atomically(folder / "x", bytes_of(large)); },
                        (folder / "x").string(), "cannot write");
    expect_error<Error>([&] { write_file_atomically(folder / "y", bytes_of(large)); },
                        (folder / "y").string());
  }
  EXPECT_EQ(read_text(folder / "x"), "old");
  EXPECT_EQ(file_count(folder.path()), 1U);
}

TEST(WriteFileAtomically, NamesAMissingFolderAndAFolderInTheWay) {
  const TemporaryFolder folder;
  expect_error<Error>([&] { write_file_atomically(folder / "none/x", bytes_of("a")); }, "none/x",
                      "No such file");
  expect_error<Error>([&] { write_file_atomically(folder.path(), bytes_of("a")); }, "a folder");
}

TEST(WriteFileAtomically, WritesThroughASymbolicLink) {
  const TemporaryFolder folder;
  write_text(folder / "target", "old");
  std::filesystem::create_symlink(folder / "target", folder / "link");
  write_file_atomically(folder / "link", bytes_of("new"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_text(folder / "target"), "new");
}

TEST(WriteFileAtomically, DoesNotReplaceADevice) {
  write_file_atomically("/dev/null", bytes_of("a"));
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "x");
    file.write(bytes_of("half"));
  }
  EXPECT_EQ(file_count(folder.path()), 0U);
}

}  // namespace
}  // namespace sdrbee::io
