// A request on its way through the engine, and what is told of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sdrbee/core/cancel.h"
#include "sdrbee/core/error.h"
#include "sdrbee/generation/generation.h"

namespace sdrbee::engine {

/// The job was not done at its deadline.
class DeadlineExceeded : public Error {
 public:
  using Error::Error;
};

using Clock = std::chrono::steady_clock;

enum class JobState { Queued, Running, Done, Failed, Cancelled };

/// "queued", "running", "done", "failed" or "cancelled".
std::string_view state_name(JobState state);

/// Something that happened to a job.
struct JobEvent {
  enum class Kind { Queued, Started, Step, Preview, Checkpoint, Done, Failed, Cancelled };

  Kind kind = Kind::Queued;
  int64_t position = 0;               ///< Queued: jobs that come first
  int64_t image_index = 0;            ///< Step and Preview: which picture of the request, 0..
  int64_t step = 0;                   ///< Step and Preview: steps taken of that picture, 1..
  std::optional<int64_t> total = {};  ///< steps of that picture; empty where nobody knows
  std::shared_ptr<const Image> preview = nullptr;  ///< Preview: the picture so far
};

/// "queued", "started", "step", "preview", "checkpoint", "done", "failed" or "cancelled".
std::string_view event_name(JobEvent::Kind kind);

/// What a job asks of the engine, beside its pictures.
struct JobOptions {
  std::string model = {};  ///< name in the engine; empty: its first one
  int64_t priority = 0;    ///< higher ones go first
  std::optional<std::chrono::duration<double>> deadline =
      {};  ///< from submission to the last picture
  /// Previews, where the request wants them, are made after the steps 1, 1 + this, 1 + twice this,
  /// ... of a picture and after its last.
  int64_t preview_every = 1;
  /// A checkpoint of a job of the same request, which this one goes on with; empty: begins anew.
  std::vector<uint8_t> resume = {};
};

/// One submitted request. Safe from any thread.
///
/// Its events are a log that any number of readers follow, each with a cursor of its own, also
/// after the end. States and steps stay in the log; of places in the queue, a picture's previews
/// and checkpoints only the latest does.
class Job {
 public:
  Job(uint64_t id, GenerationRequest request, JobOptions options);

  uint64_t id() const { return id_; }
  const GenerationRequest& request() const { return request_; }  ///< resolved: no default is open
  const JobOptions& options() const { return options_; }
  JobState state() const;
  bool ended() const;
  const std::optional<Clock::time_point>& due() const { return due_; }
  bool overdue() const { return due_ && Clock::now() >= *due_; }

  /// Ends the job: at once in the queue, within one step when it runs. Does nothing at its end.
  void cancel();
  const CancelToken& cancel_token() const { return cancelled_; }

  /// The events from `cursor` on, which moves behind them. Waits for one up to `timeout`, but not
  /// after the job's end: then an empty answer means that all is told.
  std::vector<JobEvent> events(size_t& cursor, std::chrono::duration<double> timeout) const;

  /// Waits for the end, up to `timeout`; whether it came.
  bool wait(std::chrono::duration<double> timeout) const;

  /// The pictures of a job that is done. Throws what the job failed with, Cancelled when it was
  /// cancelled, and InternalError before its end.
  const std::vector<GeneratedImage>& pictures() const;

  /// What JobOptions::resume takes to go on from here; null before the first checkpoint. An event
  /// tells of each new one. It stays after the end.
  std::shared_ptr<const std::vector<uint8_t>> checkpoint() const;

  /// Calls `listener` after each event from now on, from the engine's threads; it must not wait.
  /// The listener is dropped when the returned handle is.
  using Listener = std::function<void()>;
  [[nodiscard]] std::shared_ptr<void> listen(Listener listener);

  /// For the engine: what happens to the job. Each end happens once; later calls do nothing.
  void queued(int64_t position);  ///< told when it has changed
  void started();
  /// A step, and the preview of it where there is one. Both are in the log at once; who waits or
  /// listens learns of them by wake(), so that a batch wakes its readers once a step.
  void stepped(const Generation& generation, int64_t image_index);
  void previewed(const Generation& generation, int64_t image_index, Image preview);
  void wake();
  void checkpointed(std::vector<uint8_t> checkpoint);
  void finish(std::vector<GeneratedImage> pictures);
  void fail(std::exception_ptr error);
  void fail_overdue();  ///< with DeadlineExceeded
  void end_cancelled();

  /// For the engine: called once by cancel().
  void set_on_cancel(std::function<void()> on_cancel);

 private:
  struct Entry {
    JobEvent event;
    bool outdated = false;  // a later one of its kind has come
  };

  /// Logs the event when `change`, called under the lock, says so: a state and its event appear
  /// together. Whether it did.
  bool log_if(JobEvent event, const std::function<bool()>& change);
  void log(JobEvent event);
  /// As log_if, and wakes those who wait or listen.
  void tell(JobEvent event, const std::function<bool()>& change);
  void end(JobState state, JobEvent::Kind kind, const std::function<void()>& keep);

  const uint64_t id_;
  const GenerationRequest request_;
  const JobOptions options_;
  const std::optional<Clock::time_point> due_;
  CancelToken cancelled_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  JobState state_ = JobState::Queued;
  int64_t position_ = -1;  // as last told
  std::vector<Entry> log_;
  // Where in the log the latest is of events of which only that one counts, by kind and picture.
  std::map<std::pair<JobEvent::Kind, int64_t>, size_t> latest_;
  std::shared_ptr<const std::vector<uint8_t>> checkpoint_;
  std::vector<GeneratedImage> pictures_;
  std::exception_ptr error_;
  std::vector<std::weak_ptr<Listener>> listeners_;
  std::function<void()> on_cancel_;
};

}  // namespace sdrbee::engine
