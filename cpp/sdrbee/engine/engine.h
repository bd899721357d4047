// Many requests, one or more workers: a bounded queue, and pictures that share network calls.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sdrbee/engine/job.h"
#include "sdrbee/engine/job_queue.h"
#include "sdrbee/engine/prompt_checks.h"
#include "sdrbee/engine/worker.h"

namespace sdrbee::engine {

/// Limits of an engine.
struct EngineOptions {
  int64_t workers = 1;       ///< threads that make pictures, one a device
  int64_t queue_limit = 64;  ///< pictures that may wait
  int64_t max_batch = 8;     ///< pictures that take their steps together
  bool preload = false;      ///< each worker loads the first model before its first job
  /// Time between two checkpoints of a job that runs, taken at the end of a step: 0 takes one at
  /// each step; empty: none are taken.
  std::optional<std::chrono::duration<double>> checkpoint_interval = {};
  StoreOptions store = {};  ///< which models stay in memory, for each worker by itself
};

/// Priorities of jobs run from -kMaxPriority to kMaxPriority.
inline constexpr int64_t kMaxPriority = 1000;

/// What an engine does at the moment.
struct EngineStatus {
  int64_t queued = 0;  ///< pictures that wait
  std::vector<WorkerStatus> workers = {};
};

/// Makes the pictures of submitted requests on worker threads. Safe from any thread.
///
/// Jobs are taken by priority, then in the order of arrival, and none overtakes another. A picture
/// joins those that a worker makes already at their next step, when model, size, token count and
/// padding agree and neither asked for `exact`; else it waits until they are done.
class Engine {
 public:
  /// Nothing is loaded yet. Throws InvalidRequest when `models` is empty or names one twice, and
  /// for options below 1.
  Engine(std::vector<ModelSource> models, const EngineOptions& options);

  /// stop().
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Checks all of the request that can be checked without weights and puts it in the queue; the
  /// tokens of prompts are counted where a worker has the model in memory. Throws InvalidRequest,
  /// QueueFull, Cancelled after stop(), and CheckpointError when options.resume is damaged or of
  /// another request or build.
  std::shared_ptr<Job> submit(GenerationRequest request, JobOptions options = {});

  /// Throws QueueFull when a request for so many pictures would be refused now: costs less than to
  /// submit one, which is checked first.
  void check_room(int64_t count) const { queue_->check_room(count); }

  /// Takes no more jobs, ends all as cancelled within one step, and waits for that. With
  /// `checkpoint` those that run are given a last checkpoint before they end; of one without
  /// intervals, pictures that are finished already are not part of it.
  void stop(bool checkpoint = false);

  /// Loads a model into the memory of all workers, before their next jobs. The answers come when it
  /// is loaded, or why it could not be. Throws InvalidRequest when there is no such model, and
  /// Cancelled after stop().
  std::vector<std::shared_future<void>> load(const std::string& name);

  /// Lets a model go: at once, or when no picture is made with it any more.
  void unload(const std::string& name);

  /// Whether a model stays in memory once it is loaded, whatever the options of the store say.
  void pin(const std::string& name, bool pinned);

  /// Adds a model that jobs may ask for from now on. Throws InvalidRequest when there is one of
  /// that name.
  void add(ModelSource model) {
    models_.add(PromptChecks::watched(std::move(model), prompt_checks_));
  }

  /// All models, the first one first; they stay where they are.
  std::vector<const ModelSource*> models() const { return models_.all(); }
  EngineStatus status() const;

 private:
  const std::shared_ptr<PromptChecks> prompt_checks_ = std::make_shared<PromptChecks>();
  ModelSources models_;
  const std::shared_ptr<JobQueue> queue_;
  std::atomic<uint64_t> last_id_ = 0;
  mutable std::mutex mutex_;  // of the two below
  std::vector<std::unique_ptr<Worker>> workers_;
  std::thread deadlines_;
};

}  // namespace sdrbee::engine
