#include "sdrbee/engine/engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/engine/checkpoint.h"
#include "sdrbee/generation/plan_request.h"

namespace sdrbee::engine {
namespace {

constexpr std::chrono::duration<double> kLongest = std::chrono::hours(24 * 365);

void check_at_least_one(const char* field, int64_t value) {
  if (value < 1) throw InvalidRequest(message("[", field, "] expected 1 or more but got ", value));
}

void check(const StoreOptions& options) {
  if (options.memory_budget) check_at_least_one("memory_budget", *options.memory_budget);
  if (options.max_loaded) check_at_least_one("max_loaded", *options.max_loaded);
  if (options.keep_alive && !(options.keep_alive->count() >= 0 && *options.keep_alive <= kLongest))
    throw InvalidRequest(message("[keep_alive] expected 0..", kLongest.count(), " s but got ",
                                 options.keep_alive->count()));
}

void check(const EngineOptions& options) {
  check_at_least_one("workers", options.workers);
  check_at_least_one("queue_limit", options.queue_limit);
  check_at_least_one("max_batch", options.max_batch);
  if (options.checkpoint_interval && !(options.checkpoint_interval->count() >= 0))
    throw InvalidRequest(message("[checkpoint_interval] expected 0 s or more but got ",
                                 options.checkpoint_interval->count()));
  check(options.store);
}

void check(const JobOptions& options) {
  if (options.priority < -kMaxPriority || options.priority > kMaxPriority)
    throw InvalidRequest(message("[priority] expected -", kMaxPriority, "..", kMaxPriority,
                                 " but got ", options.priority));
  check_at_least_one("preview_every", options.preview_every);
  if (options.deadline && !(options.deadline->count() > 0 && *options.deadline <= kLongest))
    throw InvalidRequest(message("[deadline] expected more than 0 and at most ", kLongest.count(),
                                 " s but got ", options.deadline->count()));
}

std::vector<ModelSource> watched(std::vector<ModelSource> models,
                                 const std::shared_ptr<PromptChecks>& checks) {
  for (ModelSource& model : models) model = PromptChecks::watched(std::move(model), checks);
  return models;
}

}  // namespace

Engine::Engine(std::vector<ModelSource> models, const EngineOptions& options)
    : models_(watched(std::move(models), prompt_checks_)),
      queue_(std::make_shared<JobQueue>(options.queue_limit)) {
  check(options);
  for (int64_t index = 0; index < options.workers; ++index)
    workers_.push_back(
        std::make_unique<Worker>(index, models_, queue_,
                                 WorkerOptions{.max_batch = options.max_batch,
                                               .preload = options.preload,
                                               .checkpoint_interval = options.checkpoint_interval,
                                               .store = options.store}));
  deadlines_ = std::thread([queue = queue_] { queue->watch_deadlines(); });
}

Engine::~Engine() { stop(); }

void Engine::stop(bool checkpoint) {
  if (checkpoint) {
    const std::lock_guard lock(mutex_);
    for (const auto& worker : workers_) worker->checkpoint_at_end();
  }
  queue_->close();
  const std::lock_guard lock(mutex_);
  workers_.clear();
  if (deadlines_.joinable()) deadlines_.join();
}

std::shared_ptr<Job> Engine::submit(GenerationRequest request, JobOptions options) {
  check(options);
  const ModelSource& model = models_.find(options.model);
  options.model = model.name;
  if (!options.resume.empty() && !request.seed) request.seed = checkpoint_seed(options.resume);
  const std::shared_ptr<const PromptCheck> tokenizers = prompt_checks_->find(model.name);
  GenerationRequest resolved =
      plan_request(std::move(request), model.info, tokenizers.get()).request;
  if (!options.resume.empty()) read_checkpoint(options.resume, resolved);
  auto job = std::make_shared<Job>(++last_id_, std::move(resolved), std::move(options));
  queue_->push(job);
  return job;
}

std::vector<std::shared_future<void>> Engine::load(const std::string& name) {
  const std::string& wanted = models_.find(name).name;
  const std::lock_guard lock(mutex_);
  if (workers_.empty()) throw Cancelled("[load] the engine has stopped");
  std::vector<std::shared_future<void>> answers;
  for (const auto& worker : workers_) answers.push_back(worker->load(wanted));
  return answers;
}

void Engine::unload(const std::string& name) {
  const std::string& wanted = models_.find(name).name;
  const std::lock_guard lock(mutex_);
  for (const auto& worker : workers_) worker->unload(wanted);
}

void Engine::pin(const std::string& name, bool pinned) {
  const std::string& wanted = models_.find(name).name;
  const std::lock_guard lock(mutex_);
  for (const auto& worker : workers_) worker->pin(wanted, pinned);
}

EngineStatus Engine::status() const {
  EngineStatus status{.queued = queue_->places_taken()};
  const std::lock_guard lock(mutex_);
  for (const auto& worker : workers_) status.workers.push_back(worker->status());
  return status;
}

}  // namespace sdrbee::engine
