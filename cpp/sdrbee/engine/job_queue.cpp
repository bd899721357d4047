#include "sdrbee/engine/job_queue.h"

#include <algorithm>
#include <optional>

#include "sdrbee/core/error.h"

namespace sdrbee::engine {

void JobQueue::push(const std::shared_ptr<Job>& job) {
  // Before the job can be seen: a worker may take it, and cancel() may come, at once.
  job->set_on_cancel([queue = weak_from_this(), waiting = std::weak_ptr(job)] {
    const auto held = queue.lock();
    const auto cancelled = waiting.lock();
    if (held && cancelled) held->withdraw(*cancelled);
  });
  {
    const std::lock_guard lock(mutex_);
    if (closed_) throw Cancelled("[queue] the engine has stopped");
    check_room_locked(job->request().count);
    jobs_.emplace(key_of(*job), job);
  }
  tell_positions();
  changed_.notify_all();
}

void JobQueue::check_room(int64_t count) const {
  const std::lock_guard lock(mutex_);
  check_room_locked(count);
}

void JobQueue::check_room_locked(int64_t count) const {
  const int64_t taken = places_of(jobs_);
  if (taken > 0 && taken + count > limit_)
    throw QueueFull(message("[queue] ", taken, " of ", limit_,
                            " places are taken and the request needs ", count,
                            "; try again later"));
}

std::shared_ptr<Job> JobQueue::take(const std::function<bool(const Job&)>& wanted,
                                    const std::optional<Wait>& wait) {
  std::shared_ptr<Job> job;
  {
    std::unique_lock lock(mutex_);
    const auto ready = [&] { return closed_ || !jobs_.empty() || wait->interrupted(); };
    if (wait && wait->until)
      changed_.wait_until(lock, *wait->until, ready);
    else if (wait)
      changed_.wait(lock, ready);
    if (closed_ || jobs_.empty() || !wanted(*jobs_.begin()->second)) return nullptr;
    job = std::move(jobs_.begin()->second);
    jobs_.erase(jobs_.begin());
  }
  tell_positions();
  return job;
}

void JobQueue::wake() {
  {
    const std::lock_guard lock(mutex_);  // none is between looking and waiting
  }
  changed_.notify_all();
}

void JobQueue::close() {
  Jobs waiting;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    waiting.swap(jobs_);
  }
  changed_.notify_all();
  for (const auto& [key, job] : waiting) job->end_cancelled();
}

bool JobQueue::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

int64_t JobQueue::places_taken() const {
  const std::lock_guard lock(mutex_);
  return places_of(jobs_);
}

int64_t JobQueue::places_of(const Jobs& jobs) {
  int64_t places = 0;
  for (const auto& [key, job] : jobs) places += job->request().count;
  return places;
}

void JobQueue::withdraw(const Job& job) {
  std::shared_ptr<Job> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto place = jobs_.find(key_of(job));
    if (place == jobs_.end()) return;  // a worker has it: it ends at its next step
    waiting = std::move(place->second);
    jobs_.erase(place);
  }
  waiting->end_cancelled();
  tell_positions();
}

void JobQueue::watch_deadlines() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    std::optional<Clock::time_point> next;
    std::vector<std::shared_ptr<Job>> overdue;
    for (const auto& [key, job] : jobs_) {
      if (job->overdue()) overdue.push_back(job);
      if (job->due()) next = std::min(next.value_or(*job->due()), *job->due());
    }
    for (const auto& job : overdue) jobs_.erase(key_of(*job));
    if (overdue.empty()) {
      if (next)
        changed_.wait_until(lock, *next);
      else
        changed_.wait(lock);
      continue;
    }
    lock.unlock();
    for (const auto& job : overdue) job->fail_overdue();
    tell_positions();
    lock.lock();
  }
}

void JobQueue::tell_positions() {
  const std::lock_guard one_by_one(telling_);
  std::vector<std::shared_ptr<Job>> waiting;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, job] : jobs_) waiting.push_back(job);
  }
  for (size_t position = 0; position < waiting.size(); ++position)
    waiting[position]->queued(static_cast<int64_t>(position));
}

}  // namespace sdrbee::engine
