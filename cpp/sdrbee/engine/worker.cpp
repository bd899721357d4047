#include "sdrbee/engine/worker.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/typed_error.h"

namespace sdrbee::engine {
namespace {

Generation begin_or_resume(ImageModel& model, const Work& work, size_t index) {
  const nlohmann::json& progress = work.progress[index];
  if (progress.is_null()) return begin(model, work.requests[index]);
  return restore(model, work.requests[index], progress);
}

}  // namespace

Worker::Worker(int64_t index, const ModelSources& models, std::shared_ptr<JobQueue> queue,
               const WorkerOptions& options)
    : models_(models),
      queue_(std::move(queue)),
      options_(options),
      store_(models, index, options.store) {
  thread_ = std::thread([this] { run(); });
}

Worker::~Worker() { thread_.join(); }

WorkerStatus Worker::status() const {
  WorkerStatus status;
  status.loaded = store_.loaded();
  status.loads = store_.statistics();
  const std::lock_guard lock(mutex_);
  status.model = model_name_;
  status.load_error = load_error_;
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
  if (options_.preload) load(models_.find("").name);  // a job of a model that failed tries again
  while (fill()) {
    if (queue_->closed()) end_jobs();
    batch_->step();
    store_.sweep();
  }
  refuse_load_requests();
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
      if (!model_) use(work_->job->options().model);
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
  if (!idle && woken_) return false;  // what was asked for comes once these pictures are made
  const auto same_model = [this](const Job& job) { return job.options().model == used_; };
  const std::shared_ptr<Job> job = idle ? wait_for_job() : queue_->take(same_model, std::nullopt);
  if (!job) return false;
  work_ = std::make_shared<Work>(job);
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(jobs_, [](const auto& earlier) { return earlier.expired(); });
    jobs_.push_back(job);
  }
  job->started();
  return true;
}

/// The next job once there is one; null when the queue is closed. Nothing is made meanwhile.
std::shared_ptr<Job> Worker::wait_for_job() {
  rest();
  while (!queue_->closed()) {
    woken_ = false;
    load_requested();
    store_.sweep();
    const auto any = [](const Job&) { return true; };
    auto job = queue_->take(any, JobQueue::Wait{.interrupted = [this] { return woken_.load(); },
                                                .until = store_.next_sweep()});
    if (job) return job;
  }
  return nullptr;
}

void Worker::use(const std::string& name) {
  try {
    ResidentModel& resident = store_.use(name);
    model_ = resident.model.get();
    batch_.emplace(resident, options_.max_batch, options_.checkpoint_interval);
    used_ = name;
  } catch (const std::exception& error) {
    keep_outcome(name, &error);
    throw;
  }
  keep_outcome(name, nullptr);
}

void Worker::rest() {
  batch_.reset();
  model_ = nullptr;
  store_.rest();
}

void Worker::keep_outcome(const std::string& name, const std::exception* error) {
  const std::lock_guard lock(mutex_);
  load_error_ = error ? error->what() : "";
  if (!error) model_name_ = name;
}

std::shared_future<void> Worker::load(const std::string& name) {
  LoadRequest request{.name = name, .answer = {}};
  std::shared_future<void> answer = request.answer.get_future().share();
  {
    const std::lock_guard lock(mutex_);
    if (ended_)
      request.answer.set_exception(
          std::make_exception_ptr(Cancelled("[load] the engine has stopped")));
    else
      load_requests_.push_back(std::move(request));
    woken_ = true;
  }
  queue_->wake();
  return answer;
}

void Worker::pin(const std::string& name, bool pinned) {
  store_.pin(name, pinned);
  woken_ = true;  // it may have been idle for too long
  queue_->wake();
}

void Worker::load_requested() {
  while (true) {
    LoadRequest request;
    {
      const std::lock_guard lock(mutex_);
      if (load_requests_.empty()) return;
      request = std::move(load_requests_.front());
      load_requests_.pop_front();
    }
    try {
      store_.load(request.name);
      keep_outcome(request.name, nullptr);
      request.answer.set_value();
    } catch (const std::exception& error) {
      keep_outcome(request.name, &error);
      request.answer.set_exception(typed_error(std::current_exception()));
    }
  }
}

void Worker::refuse_load_requests() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  for (LoadRequest& request : load_requests_)
    request.answer.set_exception(
        std::make_exception_ptr(Cancelled("[load] the engine has stopped")));
  load_requests_.clear();
}

}  // namespace sdrbee::engine
