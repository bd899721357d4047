// Work that loading puts off until a network is built and checked.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

namespace sdrbee::io {

/// Reading, converting and packing of weights. Layers add a task each while a network is built from
/// headers alone, so that a wrong checkpoint is refused before gigabytes are read; then all tasks
/// run side by side, each on one thread.
class LoadQueue {
 public:
  using Task = std::function<void()>;

  void add(Task task) { tasks_.push_back(std::move(task)); }

  /// Takes over the tasks of another queue, after its own.
  void append(LoadQueue other) { std::ranges::move(other.tasks_, std::back_inserter(tasks_)); }

  /// Runs all tasks on ATen's threads and forgets them. When one throws, no further ones start and
  /// its exception is thrown on.
  void run();

 private:
  std::vector<Task> tasks_;
};

}  // namespace sdrbee::io
