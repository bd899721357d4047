#include "sdrbee/engine/model_store.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/heap.h"

namespace sdrbee::engine {
namespace {

/// Destroys models, which takes too long for a lock, and gives their memory back.
void let_go(std::vector<std::unique_ptr<ResidentModel>> models) {
  if (models.empty()) return;
  models.clear();
  give_back_freed_memory();
}

}  // namespace

/// What its weights take when all that may be loaded at once is.
int64_t ModelStore::most_bytes(const Entry& entry) {
  return std::min(entry.resident->model->memory().whole_bytes(), entry.limit.value_or(INT64_MAX));
}

/// What is left of the budget beside the other pinned models.
std::optional<int64_t> ModelStore::room_for(const std::string& name) const {
  if (!options_.memory_budget) return std::nullopt;
  const std::lock_guard lock(mutex_);
  int64_t room = *options_.memory_budget;
  for (const auto& [other, entry] : entries_)
    if (other != name && pinned_.contains(other))
      room -= entry.resident->model->memory().loaded_bytes();
  if (room <= 0)
    throw OutOfMemory(message("[memory_budget] the pinned models take all ",
                              *options_.memory_budget, " bytes; '", name, "' has no room"));
  return room;
}

ResidentModel& ModelStore::use(const std::string& name) {
  rest();
  const ModelSource& wanted = sources_.find(name);
  std::optional<int64_t> limit = room_for(name);
  if (wanted.memory_limit) limit = std::min(*wanted.memory_limit, limit.value_or(INT64_MAX));
  drop_misfit(name, limit);
  bool loaded = false;
  {
    const std::lock_guard lock(mutex_);
    loaded = entries_.contains(name);
    if (loaded) in_use_ = name;
  }
  if (!loaded) {
    // Reads headers only: what the weights will take is known before they take it.
    const auto began = Clock::now();
    auto fresh = std::make_unique<ResidentModel>(wanted.load(worker_, limit));
    count_load(began, 1);
    const std::lock_guard lock(mutex_);
    entries_[name] = {.resident = std::move(fresh), .limit = limit, .last_use = Clock::now()};
    in_use_ = name;
  }
  make_room_for(name);
  const std::lock_guard lock(mutex_);
  return *entries_.at(name).resident;
}

/// Lets the model go when its weights keep to another limit than they should.
void ModelStore::drop_misfit(const std::string& name, std::optional<int64_t> limit) {
  let_go(take_if([&](Entries::value_type& entry) {
    if (entry.first != name || entry.second.limit == limit) return false;
    const int64_t least =
        std::min(limit.value_or(INT64_MAX), entry.second.limit.value_or(INT64_MAX));
    return entry.second.resident->model->memory().whole_bytes() > least;
  }));
}

void ModelStore::load(const std::string& name) {
  try {
    ImageModel& model = *use(name).model;
    const auto began = Clock::now();
    model.memory().load_all();
    count_load(began, 0);
  } catch (...) {
    rest();
    throw;
  }
  rest();
}

void ModelStore::rest() {
  let_go(take_if([this](Entries::value_type& entry) {
    if (entry.first != in_use_) return false;
    in_use_.clear();
    entry.second.last_use = Clock::now();
    return entry.second.leaving;
  }));
}

void ModelStore::count_load(Clock::time_point began, int64_t loads) {
  const std::lock_guard lock(mutex_);
  statistics_.count += loads;
  statistics_.time += Clock::now() - began;
}

LoadStatistics ModelStore::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

bool ModelStore::stays(const Entries::value_type& entry) const {
  return entry.first == in_use_ || pinned_.contains(entry.first);
}

ModelStore::Entries::iterator ModelStore::least_recent(const std::string& but) {
  auto found = entries_.end();
  for (auto one = entries_.begin(); one != entries_.end(); ++one) {
    if (one->first == but || stays(*one)) continue;
    if (found == entries_.end() || one->second.last_use < found->second.last_use) found = one;
  }
  return found;
}

/// What the named model may take with all other models.
int64_t ModelStore::bytes_with(const std::string& name) const {
  int64_t bytes = most_bytes(entries_.at(name));
  for (const auto& [other, entry] : entries_)
    if (other != name) bytes += entry.resident->model->memory().taken_bytes();
  return bytes;
}

/// Lets what others keep for LoRAs go, then the models that were not used the longest time, until
/// the named one has room. What is left is for what it keeps itself.
void ModelStore::make_room_for(const std::string& name) {
  Gone gone;
  {
    const std::lock_guard lock(mutex_);
    const auto is_over_budget = [&] {
      return options_.memory_budget && bytes_with(name) > *options_.memory_budget;
    };
    const auto are_too_many = [&] {
      return options_.max_loaded && static_cast<int64_t>(entries_.size()) > *options_.max_loaded;
    };
    for (const auto& [other, entry] : entries_)
      if (other != name && is_over_budget()) entry.resident->model->memory().drop_kept();
    while (is_over_budget() || are_too_many()) {
      const auto other = least_recent(name);
      if (other == entries_.end()) break;
      gone.push_back(std::move(other->second.resident));
      entries_.erase(other);
    }
    if (options_.memory_budget)
      entries_.at(name).resident->model->memory().limit_kept(*options_.memory_budget -
                                                             bytes_with(name));
  }
  let_go(std::move(gone));
}

ModelStore::Gone ModelStore::take_if(const std::function<bool(Entries::value_type&)>& which) {
  Gone gone;
  const std::lock_guard lock(mutex_);
  for (auto one = entries_.begin(); one != entries_.end();) {
    const bool goes = which(*one);
    if (goes) gone.push_back(std::move(one->second.resident));
    one = goes ? entries_.erase(one) : std::next(one);
  }
  return gone;
}

void ModelStore::unload(const std::string& name) {
  let_go(take_if([&](Entries::value_type& entry) {
    if (entry.first != name) return false;
    entry.second.leaving = true;
    return name != in_use_;
  }));
}

void ModelStore::pin(const std::string& name, bool pinned) {
  const std::lock_guard lock(mutex_);
  if (pinned)
    pinned_.insert(name);
  else
    pinned_.erase(name);
}

void ModelStore::sweep() {
  if (!options_.keep_alive) return;
  let_go(take_if([&](Entries::value_type& entry) {
    return !stays(entry) && Clock::now() - entry.second.last_use >= *options_.keep_alive;
  }));
}

std::optional<Clock::time_point> ModelStore::next_sweep() const {
  if (!options_.keep_alive) return std::nullopt;
  const auto keep = std::chrono::duration_cast<Clock::duration>(*options_.keep_alive);
  const std::lock_guard lock(mutex_);
  std::optional<Clock::time_point> next;
  for (const auto& entry : entries_)
    if (!stays(entry))
      next = std::min(next.value_or(entry.second.last_use + keep), entry.second.last_use + keep);
  return next;
}

std::vector<LoadedModel> ModelStore::loaded() const {
  const std::lock_guard lock(mutex_);
  std::vector<LoadedModel> models;
  for (const auto& [name, entry] : entries_) {
    const bool in_use = name == in_use_;
    models.push_back({.name = name,
                      .bytes = entry.resident->model->memory().taken_bytes(),
                      .pinned = pinned_.contains(name),
                      .in_use = in_use});
    if (!in_use) models.back().idle = Clock::now() - entry.last_use;
  }
  return models;
}

}  // namespace sdrbee::engine
