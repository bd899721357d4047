#include "sdrbee/io/load_queue.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "sdrbee/core/block_reuse.h"

namespace sdrbee::io {

bool LoadQueue::reads_all(const std::set<std::string>& names) const {
  std::set<std::string> read;
  for (const NamedTask& task : tasks_) read.insert(task.fills);
  return std::ranges::includes(read, names);
}

LoadQueue LoadQueue::reading(const std::set<std::string>& names) const {
  LoadQueue chosen;
  for (const NamedTask& task : tasks_)
    if (names.contains(task.fills)) chosen.tasks_.push_back(task);
  std::ranges::stable_sort(chosen.tasks_, std::greater(), &NamedTask::bytes);
  return chosen;
}

std::map<std::string, LoadQueue::PutBack> LoadQueue::remember(
    const std::set<std::string>& names) const {
  std::map<std::string, PutBack> remembered;
  for (const NamedTask& task : tasks_)
    if (task.remember && names.contains(task.fills)) remembered[task.fills] = task.remember();
  return remembered;
}

void LoadQueue::run() {
  const std::vector<NamedTask> tasks = std::exchange(tasks_, {});
  std::atomic<size_t> next = 0;
  // Tasks differ in size by thousands: every thread takes the next one when it is free.
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t begin, int64_t end) {
    const c10::InferenceMode guard;
    const BlockReuse reuse;
    for (int64_t turn = begin; turn < end; ++turn) {
      for (size_t i = next++; i < tasks.size(); i = next++) {
        try {
          tasks[i].run();
        } catch (...) {
          next = tasks.size();
          throw;
        }
      }
    }
  });
}

}  // namespace sdrbee::io
