// Work that loading puts off until a network is built and checked.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sdrbee::io {

/// Reading, converting and packing of weights. Layers add a task each while a network is built from
/// headers alone, so that a wrong checkpoint is refused before gigabytes are read; then all tasks
/// run side by side, each on one thread.
class LoadQueue {
 public:
  using Task = std::function<void()>;
  /// Puts a weight back as it was when it was remembered.
  using PutBack = std::function<void()>;
  using Remember = std::function<PutBack()>;

  /// `fills` names the tensor that the task reads, of so many bytes; `remember` remembers what it
  /// has made of it.
  void add(Task task, std::string fills = "", int64_t bytes = 0, Remember remember = {}) {
    tasks_.push_back({std::move(task), std::move(fills), bytes, std::move(remember)});
  }

  bool empty() const { return tasks_.empty(); }

  /// Whether each of the tensors is read by a task.
  bool reads_all(const std::set<std::string>& names) const;

  /// The tasks that read one of the tensors, the largest first: those of one size follow each other
  /// and hand on their memory.
  LoadQueue reading(const std::set<std::string>& names) const;

  /// Remembers those of the tensors that can be: it must have run.
  std::map<std::string, PutBack> remember(const std::set<std::string>& names) const;

  /// Takes over the tasks of another queue, after its own.
  void append(LoadQueue other) { std::ranges::move(other.tasks_, std::back_inserter(tasks_)); }

  /// Runs all tasks on ATen's threads and forgets them. When one throws, no further ones start and
  /// its exception is thrown on.
  void run();

 private:
  struct NamedTask {
    Task run;
    std::string fills;
    int64_t bytes = 0;
    Remember remember;
  };
  std::vector<NamedTask> tasks_;
};

}  // namespace sdrbee::io
