#include "sdrbee/engine/worker.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/typed_error.h"

namespace sdrbee::engine {
namespace {

Generation begin_or_resume(ImageModel& model, const Work& work, size_t index) {
  const nlohmann::json& progress = work.progress[index];
  if (progress.is_null()) return begin(model, work.requests[index]);
  return restore(model, work.requests[index], progress);
}

}  // namespace

Worker::Worker(int64_t index, std::span<const ModelSource> models, std::shared_ptr<JobQueue> queue,
               const WorkerOptions& options)
    : index_(index), models_(models), queue_(std::move(queue)), options_(options) {
  thread_ = std::thread([this] { run(); });
}

Worker::~Worker() { thread_.join(); }

WorkerStatus Worker::status() const {
  const std::lock_guard lock(mutex_);
  WorkerStatus status{.model = model_name_, .load_error = load_error_};
  for (const auto& one : jobs_) {
    const auto job = one.lock();
    if (!job || job->ended()) continue;
    status.jobs.push_back(job->id());
    if (job->overdue())
      status.overdue =
          std::max<std::chrono::duration<double>>(status.overdue, Clock::now() - *job->due());
  }
  return status;
}

void Worker::run() {
  if (options_.preload) {
    try {
      load(models_.front().name);
      model_->memory().load_all();
    } catch (...) {  // load() has kept what it was; the first job tries again
    }
  }
  while (fill()) {
    if (queue_->closed()) end_jobs();
    batch_->step();
  }
}

void Worker::end_jobs() {
  if (checkpoint_at_end_.exchange(false)) batch_->checkpoint();
  std::vector<std::weak_ptr<Job>> jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs = jobs_;
  }
  for (const auto& one : jobs)
    if (const auto job = one.lock()) job->cancel();
}

/// Takes in what can be made together; false when the queue is closed and nothing is left.
bool Worker::fill() {
  while (!batch_ || !batch_->full()) {
    if (!next_) next_ = begin_next();
    if (!next_) break;
    if (!next_->work->is_over()) {
      if (!batch_->takes(*next_)) break;
      batch_->add(std::move(*next_));
    }
    next_.reset();
  }
  return batch_ && !batch_->empty();
}

/// The next picture before its first step, when one can be begun: waits for a job when nothing
/// runs.
std::optional<Picture> Worker::begin_next() {
  while (true) {
    if ((!work_ || work_->all_begun() || work_->is_over()) && !take_work()) return std::nullopt;
    try {
      const size_t index = work_->begun++;
      if (index == 0) work_->resume();
      if (!model_) load(work_->job->options().model);
      return Picture{.work = work_,
                     .index = static_cast<int64_t>(index),
                     .generation = begin_or_resume(*model_, *work_, index)};
    } catch (...) {
      work_->job->fail(typed_error(std::current_exception()));
    }
  }
}

/// Takes the next job, if it is for the model at hand or nothing runs.
bool Worker::take_work() {
  work_.reset();
  const bool idle = !batch_ || batch_->empty();
  const auto wanted = [&](const Job& job) { return idle || job.options().model == model_name_; };
  const std::shared_ptr<Job> job = queue_->take(wanted, /*wait=*/idle);
  if (!job) return false;
  if (job->options().model != model_name_) unload();
  work_ = std::make_shared<Work>(job);
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(jobs_, [](const auto& earlier) { return earlier.expired(); });
    jobs_.push_back(job);
  }
  job->started();
  return true;
}

void Worker::unload() {
  batch_.reset();
  model_.reset();
  const std::lock_guard lock(mutex_);
  model_name_.clear();
}

void Worker::load(const std::string& name) {
  const auto source = std::ranges::find(models_, name, &ModelSource::name);
  SDRBEE_CHECK(source != models_.end());
  try {
    model_ = source->load(index_);
    batch_.emplace(*model_, options_.max_batch, options_.checkpoint_interval);
  } catch (const std::exception& error) {
    const std::lock_guard lock(mutex_);
    load_error_ = error.what();
    throw;
  }
  const std::lock_guard lock(mutex_);
  model_name_ = source->name;
  load_error_.clear();
}

}  // namespace sdrbee::engine
