// A thread that makes pictures on one device.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "sdrbee/engine/batch.h"
#include "sdrbee/engine/job_queue.h"
#include "sdrbee/models/image_model.h"

namespace sdrbee::engine {

/// A model that an engine may be asked for.
struct ModelSource {
  std::string name;
  ModelInfo info;  ///< that of the loaded model
  /// Loads it for the engine's worker of that number, on the worker's thread.
  std::function<std::unique_ptr<ImageModel>(int64_t worker)> load;
};

struct WorkerOptions {
  int64_t max_batch = 8;  ///< pictures that take their steps together
  bool preload = false;   ///< loads the first model before the first job
  /// Time between two checkpoints of a job that runs; empty: none are taken.
  std::optional<std::chrono::duration<double>> checkpoint_interval = {};
};

/// What a worker does at the moment.
struct WorkerStatus {
  std::string model;                ///< the one that is loaded; empty: none yet
  std::string load_error = {};      ///< why the model could not be loaded, at the last try
  std::vector<uint64_t> jobs = {};  ///< those it makes pictures of
  /// How long ago a deadline of its jobs has passed. It ends them at its next step, so a worker
  /// for which this grows hangs.
  std::chrono::duration<double> overdue{0};
};

/// Takes jobs from the queue and makes their pictures. When the queue is closed it cancels those
/// that it has, and ends.
class Worker {
 public:
  /// `models` must outlive the worker.
  Worker(int64_t index, std::span<const ModelSource> models, std::shared_ptr<JobQueue> queue,
         const WorkerOptions& options);

  /// Waits for the thread to end.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  WorkerStatus status() const;

  /// Lets jobs that run when the queue is closed have a last checkpoint.
  void checkpoint_at_end() { checkpoint_at_end_ = true; }

 private:
  void run();
  void end_jobs();
  bool fill();
  std::optional<Picture> begin_next();
  bool take_work();
  void unload();
  void load(const std::string& name);

  const int64_t index_;
  const std::span<const ModelSource> models_;
  const std::shared_ptr<JobQueue> queue_;
  const WorkerOptions options_;
  std::atomic<bool> checkpoint_at_end_ = false;

  // Of the worker's thread alone.
  std::unique_ptr<ImageModel> model_;
  std::optional<Batch> batch_;
  std::shared_ptr<Work> work_;   // the job whose pictures are being begun
  std::optional<Picture> next_;  // begun, and doesn't fit those that are being made

  mutable std::mutex mutex_;
  std::string model_name_;
  std::string load_error_;
  std::vector<std::weak_ptr<Job>> jobs_;  // those that may not have ended
  std::thread thread_;
};

}  // namespace sdrbee::engine
