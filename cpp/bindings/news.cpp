#include "news.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::bindings {

News::News() {
  if (::pipe(ends_) != 0)
    throw InternalError(message("[news] no pipe can be made: ", std::strerror(errno)));
  for (const int end : ends_) {
    ::fcntl(end, F_SETFL, O_NONBLOCK);
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
  }
}

News::~News() {
  for (const int end : ends_) ::close(end);
}

void News::tell(uint64_t number) {
  const std::lock_guard lock(mutex_);
  // One byte is in the pipe while something is told, so that it is never full.
  if (told_.empty()) {
    [[maybe_unused]] const auto written = ::write(ends_[1], "", 1);
  }
  told_.insert(number);
}

std::set<uint64_t> News::take() {
  const std::lock_guard lock(mutex_);
  if (!told_.empty()) {
    char byte = 0;
    [[maybe_unused]] const auto read = ::read(ends_[0], &byte, 1);
  }
  return std::exchange(told_, {});
}

}  // namespace sdrbee::bindings
