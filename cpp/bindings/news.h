// What the engine's threads tell the event loops of Python, without waiting for the interpreter.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>

namespace sdrbee::bindings {

/// Numbers that have been told and not been taken. Its descriptor can be read while there are some,
/// which event loops look for. Safe from any thread; telling never waits.
class News {
 public:
  /// Throws InternalError when the process has no descriptors left.
  News();
  ~News();
  News(const News&) = delete;
  News& operator=(const News&) = delete;

  int descriptor() const { return ends_[0]; }

  void tell(uint64_t number);

  /// Each once.
  std::set<uint64_t> take();

 private:
  int ends_[2] = {-1, -1};  // of a pipe: what is read, what is written
  std::mutex mutex_;
  std::set<uint64_t> told_;
};

}  // namespace sdrbee::bindings
