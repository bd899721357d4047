// The pictures that a worker makes together, a step at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "sdrbee/engine/checkpoint.h"
#include "sdrbee/engine/job.h"
#include "sdrbee/engine/model_store.h"

namespace sdrbee::engine {

/// A job that a worker has taken: its pictures, those to come and those that are made.
struct Work {
  std::shared_ptr<Job> job;
  std::vector<GenerationRequest> requests;  ///< one a picture
  size_t begun = 0;
  std::vector<GeneratedImage> made;  ///< at the place of their request
  size_t finished = 0;
  Progress progress;                     ///< as of the latest checkpoint
  std::optional<nlohmann::json> origin;  ///< of checkpoints, once there is one
  Clock::time_point checkpointed = Clock::now();

  explicit Work(std::shared_ptr<Job> taken)
      : job(std::move(taken)),
        requests(split_count(job->request())),
        made(requests.size()),
        progress(requests.size()) {}

  /// Takes over what the job's checkpoint holds, where it has one. Throws CheckpointError.
  void resume();

  bool all_begun() const { return begun == requests.size(); }

  /// Hands the progress to the job.
  void hand_over_checkpoint();

  /// Whether the job needs no more work: it ended, was cancelled, or is past its deadline. The
  /// latter two end it.
  bool is_over();
};

/// A picture of a job, between two steps.
struct Picture {
  std::shared_ptr<Work> work;
  int64_t index = 0;
  Generation generation;
};

/// Pictures that take their steps together. What one of them throws ends that one's job only.
class Batch {
 public:
  /// The model must outlive the batch. With a `checkpoint_interval` the jobs are given a checkpoint
  /// whenever it has passed, at the end of a step.
  Batch(ResidentModel& model, int64_t limit,
        std::optional<std::chrono::duration<double>> checkpoint_interval)
      : model_(model.model.get()),
        previewer_(&model.previewer),
        limit_(limit),
        checkpoint_interval_(checkpoint_interval) {}

  bool empty() const { return pictures_.empty(); }
  bool full() const { return static_cast<int64_t>(pictures_.size()) >= limit_; }

  /// Whether the picture shares network calls with those that are here.
  bool takes(const Picture& picture) const;

  void add(Picture picture) { pictures_.push_back(std::move(picture)); }

  /// One step of each picture; the finished ones leave, as do those whose job is over.
  void step();

  /// Gives each job a checkpoint now.
  void checkpoint();

 private:
  void drop_those_over();
  void advance_all();
  void tell_steps();
  void checkpoint_where_due();
  void checkpoint(const std::function<bool(const Work&)>& wanted);
  void keep(const Picture& picture);
  void finish_those_done();
  void finish(Picture& picture);

  ImageModel* model_;
  Previewer* previewer_;
  int64_t limit_;
  std::optional<std::chrono::duration<double>> checkpoint_interval_;
  std::vector<Picture> pictures_;
};

}  // namespace sdrbee::engine
