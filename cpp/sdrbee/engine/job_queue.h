// Jobs that wait for a worker.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "sdrbee/engine/job.h"

namespace sdrbee::engine {

/// A bounded queue: higher priorities first, then the order of arrival. Safe from any thread. A job
/// takes as many places as it has pictures, and is let in whole or not at all.
/// Waiting jobs are told their position; those that are cancelled leave at once.
class JobQueue : public std::enable_shared_from_this<JobQueue> {
 public:
  explicit JobQueue(int64_t limit) : limit_(limit) {}

  /// Throws QueueFull when there are not enough places (any job fits into an empty queue), and
  /// Cancelled after close().
  void push(const std::shared_ptr<Job>& job);

  /// Throws QueueFull when so many pictures would not be let in now.
  void check_room(int64_t count) const;

  /// What ends the waiting for a job beside the job itself.
  struct Wait {
    std::function<bool()> interrupted;  ///< asked after each wake()
    std::optional<Clock::time_point> until = {};
  };

  /// Takes the first job when `wanted` says so of it; null otherwise, and after close(). With
  /// `wait` it waits for a first job, and gives null when the waiting ended otherwise.
  std::shared_ptr<Job> take(const std::function<bool(const Job&)>& wanted,
                            const std::optional<Wait>& wait);

  /// Lets those that wait look whether they are interrupted.
  void wake();

  /// Takes no more jobs and ends those that wait as cancelled.
  void close();

  bool closed() const;
  int64_t places_taken() const;

  /// Ends waiting jobs at their deadline; returns after close().
  void watch_deadlines();

 private:
  using Key = std::pair<int64_t, uint64_t>;  // -priority, id
  using Jobs = std::map<Key, std::shared_ptr<Job>>;
  static int64_t places_of(const Jobs& jobs);
  void check_room_locked(int64_t count) const;
  static Key key_of(const Job& job) { return {-job.options().priority, job.id()}; }

  void withdraw(const Job& job);
  void tell_positions();

  const int64_t limit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::mutex telling_;  // positions are told in the order in which they change
  Jobs jobs_;
  bool closed_ = false;
};

}  // namespace sdrbee::engine
