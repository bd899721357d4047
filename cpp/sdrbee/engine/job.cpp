#include "sdrbee/engine/job.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::engine {
namespace {

constexpr std::array<std::string_view, 5> kStates = {"queued", "running", "done", "failed",
                                                     "cancelled"};
constexpr std::array<std::string_view, 8> kEvents = {
    "queued", "started", "step", "preview", "checkpoint", "done", "failed", "cancelled"};

bool is_end(JobState state) { return state != JobState::Queued && state != JobState::Running; }

bool only_latest_counts(JobEvent::Kind kind) {
  return kind == JobEvent::Kind::Queued || kind == JobEvent::Kind::Preview ||
         kind == JobEvent::Kind::Checkpoint;
}

std::optional<Clock::time_point> due_time(const JobOptions& options) {
  if (!options.deadline) return std::nullopt;
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(*options.deadline);
}

JobEvent event_of(JobEvent::Kind kind, const Generation& generation, int64_t image_index) {
  return {.kind = kind,
          .image_index = image_index,
          .step = generation.steps_taken(),
          .total = generation.steps_total()};
}

}  // namespace

std::string_view state_name(JobState state) { return kStates[static_cast<size_t>(state)]; }
std::string_view event_name(JobEvent::Kind kind) { return kEvents[static_cast<size_t>(kind)]; }

Job::Job(uint64_t id, GenerationRequest request, JobOptions options)
    : id_(id),
      request_(std::move(request)),
      options_(std::move(options)),
      due_(due_time(options_)) {
  if (!options_.resume.empty())
    checkpoint_ = std::make_shared<const std::vector<uint8_t>>(options_.resume);
}

JobState Job::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

bool Job::ended() const { return is_end(state()); }

void Job::cancel() {
  std::function<void()> on_cancel;
  {
    const std::lock_guard lock(mutex_);
    if (is_end(state_)) return;
    on_cancel = std::exchange(on_cancel_, nullptr);
  }
  cancelled_.cancel();
  if (on_cancel) on_cancel();
}

void Job::set_on_cancel(std::function<void()> on_cancel) {
  const std::lock_guard lock(mutex_);
  on_cancel_ = std::move(on_cancel);
}

std::vector<JobEvent> Job::events(size_t& cursor, std::chrono::duration<double> timeout) const {
  std::unique_lock lock(mutex_);
  // Waiting for no time still puts the thread to sleep and wakes it.
  if (timeout > timeout.zero())
    changed_.wait_for(lock, timeout, [&] { return cursor < log_.size() || is_end(state_); });
  std::vector<JobEvent> news;
  for (; cursor < log_.size(); ++cursor)
    if (!log_[cursor].outdated) news.push_back(log_[cursor].event);
  return news;
}

bool Job::wait(std::chrono::duration<double> timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return is_end(state_); });
}

const std::vector<GeneratedImage>& Job::pictures() const {
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
  if (state_ == JobState::Cancelled) throw Cancelled(message("[job ", id_, "] was cancelled"));
  if (state_ != JobState::Done)
    throw InternalError(message("[job ", id_, "] was asked for its pictures before its end"));
  return pictures_;
}

std::shared_ptr<const std::vector<uint8_t>> Job::checkpoint() const {
  const std::lock_guard lock(mutex_);
  return checkpoint_;
}

std::shared_ptr<void> Job::listen(Listener listener) {
  auto handle = std::make_shared<Listener>(std::move(listener));
  const std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [](const std::weak_ptr<Listener>& one) { return one.expired(); });
  listeners_.push_back(handle);
  return handle;
}

bool Job::log_if(JobEvent event, const std::function<bool()>& change) {
  const std::lock_guard lock(mutex_);
  if (!change()) return false;
  log(std::move(event));
  return true;
}

void Job::tell(JobEvent event, const std::function<bool()>& change) {
  if (log_if(std::move(event), change)) wake();
}

void Job::wake() {
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    const std::lock_guard lock(mutex_);
    for (const std::weak_ptr<Listener>& one : listeners_)
      if (auto listener = one.lock()) listeners.push_back(std::move(listener));
  }
  changed_.notify_all();
  for (const auto& listener : listeners) (*listener)();
}

void Job::log(JobEvent event) {
  if (only_latest_counts(event.kind)) {
    const auto [latest, first] = latest_.try_emplace({event.kind, event.image_index}, log_.size());
    if (!first) {
      Entry& earlier = log_[std::exchange(latest->second, log_.size())];
      earlier.outdated = true;
      earlier.event.preview = nullptr;
    }
  }
  log_.push_back({.event = std::move(event)});
}

void Job::queued(int64_t position) {
  tell({.kind = JobEvent::Kind::Queued, .position = position}, [&] {
    return state_ == JobState::Queued && std::exchange(position_, position) != position;
  });
}

void Job::started() {
  tell({.kind = JobEvent::Kind::Started}, [&] {
    return std::exchange(state_, state_ == JobState::Queued ? JobState::Running : state_) ==
           JobState::Queued;
  });
}

void Job::stepped(const Generation& generation, int64_t image_index) {
  log_if(event_of(JobEvent::Kind::Step, generation, image_index), [&] { return !is_end(state_); });
}

void Job::previewed(const Generation& generation, int64_t image_index, Image preview) {
  JobEvent event = event_of(JobEvent::Kind::Preview, generation, image_index);
  event.preview = std::make_shared<const Image>(std::move(preview));
  log_if(std::move(event), [&] { return !is_end(state_); });
}

void Job::checkpointed(std::vector<uint8_t> checkpoint) {
  tell({.kind = JobEvent::Kind::Checkpoint}, [&] {
    if (is_end(state_)) return false;
    checkpoint_ = std::make_shared<const std::vector<uint8_t>>(std::move(checkpoint));
    return true;
  });
}

void Job::end(JobState state, JobEvent::Kind kind, const std::function<void()>& keep) {
  tell({.kind = kind}, [&] {
    if (is_end(state_)) return false;
    keep();
    state_ = state;
    on_cancel_ = nullptr;
    return true;
  });
}

void Job::finish(std::vector<GeneratedImage> pictures) {
  end(JobState::Done, JobEvent::Kind::Done, [&] { pictures_ = std::move(pictures); });
}

void Job::fail(std::exception_ptr error) {
  end(JobState::Failed, JobEvent::Kind::Failed, [&] { error_ = std::move(error); });
}

void Job::fail_overdue() {
  fail(std::make_exception_ptr(
      DeadlineExceeded(message("[deadline] the job was not done within ",
                               options_.deadline.value_or(Clock::duration{}).count(), " s"))));
}

void Job::end_cancelled() {
  end(JobState::Cancelled, JobEvent::Kind::Cancelled, [] {});
}

}  // namespace sdrbee::engine
