// A thread that makes pictures on one device.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sdrbee/engine/batch.h"
#include "sdrbee/engine/job_queue.h"
#include "sdrbee/engine/model_store.h"

namespace sdrbee::engine {

struct WorkerOptions {
  int64_t max_batch = 8;  ///< pictures that take their steps together
  bool preload = false;   ///< loads the first model before the first job
  /// Time between two checkpoints of a job that runs; empty: none are taken.
  std::optional<std::chrono::duration<double>> checkpoint_interval = {};
  StoreOptions store = {};
};

/// What a worker does at the moment.
struct WorkerStatus {
  std::string model;                ///< the one that was loaded last; empty: none yet
  std::string load_error = {};      ///< why the model could not be loaded, at the last try
  std::vector<uint64_t> jobs = {};  ///< those it makes pictures of
  /// How long ago a deadline of its jobs has passed. It ends them at its next step, so a worker
  /// for which this grows hangs.
  std::chrono::duration<double> overdue{0};
  std::vector<LoadedModel> loaded = {};  ///< those in memory
  LoadStatistics loads = {};             ///< since the beginning
};

/// Takes jobs from the queue and makes their pictures. When the queue is closed it cancels those
/// that it has, and ends.
class Worker {
 public:
  /// `models` must outlive the worker.
  Worker(int64_t index, const ModelSources& models, std::shared_ptr<JobQueue> queue,
         const WorkerOptions& options);

  /// Waits for the thread to end.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  WorkerStatus status() const;

  /// Lets jobs that run when the queue is closed have a last checkpoint.
  void checkpoint_at_end() { checkpoint_at_end_ = true; }

  /// Loads the model, before any further job; the answer comes when it is loaded, or why it could
  /// not be. Of the next one, too, any thread may ask.
  std::shared_future<void> load(const std::string& name);

  /// Lets the model go: at once, or when no picture is made with it any more.
  void unload(const std::string& name) { store_.unload(name); }

  /// Whether the model stays once it is loaded.
  void pin(const std::string& name, bool pinned);

 private:
  void run();
  void end_jobs();
  bool fill();
  std::optional<Picture> begin_next();
  bool take_work();
  std::shared_ptr<Job> wait_for_job();
  void use(const std::string& name);
  void rest();
  void load_requested();
  void keep_outcome(const std::string& name, const std::exception* error);
  void refuse_load_requests();

  const ModelSources& models_;
  const std::shared_ptr<JobQueue> queue_;
  const WorkerOptions options_;
  std::atomic<bool> checkpoint_at_end_ = false;

  ModelStore store_;

  // Of the worker's thread alone.
  std::string used_;             // the name of the model in use
  ImageModel* model_ = nullptr;  // that model
  std::optional<Batch> batch_;
  std::shared_ptr<Work> work_;   // the job whose pictures are being begun
  std::optional<Picture> next_;  // begun, and doesn't fit those that are being made

  mutable std::mutex mutex_;
  std::string model_name_;
  std::string load_error_;
  std::vector<std::weak_ptr<Job>> jobs_;  // those that may not have ended
  struct LoadRequest {
    std::string name;
    std::promise<void> answer;
  };
  std::deque<LoadRequest> load_requests_;
  bool ended_ = false;
  std::atomic<bool> woken_ = false;  // there may be something else to do than a job
  std::thread thread_;
};

}  // namespace sdrbee::engine
