#include "sdrbee/models/weight_memory.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/core/heap.h"

namespace sdrbee {
namespace {

/// "1.61GiB (1725874560 bytes)", rounded up, so that the first number is enough, too.
std::string size_text(int64_t bytes) {
  const bool large = bytes >= int64_t{1} << 30;
  const double unit = large ? 1 << 30 : 1 << 20;
  std::ostringstream text;
  text << std::fixed << std::setprecision(2)
       << std::ceil(static_cast<double>(bytes) / unit * 100) / 100 << (large ? "GiB" : "MiB")
       << " (" << bytes << " bytes)";
  return text.str();
}

}  // namespace

void WeightMemory::add(WeightHolder& holder, const std::string& name, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({.holder = &holder, .name = name, .state = {.bytes = bytes}});
}

void WeightMemory::remove(const WeightHolder& holder) {
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const Entry& one) { return one.holder == &holder; });
}

WeightMemory::Entry& WeightMemory::entry(const WeightHolder& holder) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& one) { return one.holder == &holder; });
  SDRBEE_CHECK(found != entries_.end());
  return *found;
}

int64_t WeightMemory::sum_loaded() const {
  int64_t bytes = 0;
  for (const Entry& one : entries_) bytes += one.state.loaded ? one.state.bytes : 0;
  return bytes;
}

int64_t WeightMemory::sum_kept() const {
  int64_t bytes = 0;
  for (const Entry& one : entries_) bytes += one.state.kept_bytes;
  return bytes;
}

int64_t WeightMemory::may_keep(const WeightHolder& holder) {
  const std::lock_guard lock(mutex_);
  const int64_t left = limit_ ? std::min(kept_limit_, *limit_ - sum_loaded()) : kept_limit_;
  return std::max<int64_t>(0, left - (sum_kept() - entry(holder).state.kept_bytes));
}

void WeightMemory::limit_kept(int64_t bytes) {
  bool is_over = false;
  {
    const std::lock_guard lock(mutex_);
    kept_limit_ = std::clamp<int64_t>(bytes, 0, kKeptBytes);
    is_over = sum_kept() > kept_limit_;
  }
  if (is_over) drop_kept();
}

void WeightMemory::drop_kept() {
  {
    const std::lock_guard lock(mutex_);
    if (sum_kept() == 0) return;
    for (Entry& one : entries_) drop_kept_of(one);
  }
  give_back_freed_memory();
}

void WeightMemory::drop_kept_of(Entry& one) {
  one.holder->drop_kept();
  one.state.kept_bytes = 0;
}

void WeightMemory::note_kept(const WeightHolder& holder, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  entry(holder).state.kept_bytes = bytes;
}

void WeightMemory::drop(Entry& one) {
  one.holder->drop();
  one.state.loaded = false;
  one.state.kept_bytes = 0;
}

/// The loaded component that ran the longest time ago, but for `wanted`; null when there is none.
WeightMemory::Entry* WeightMemory::least_recent(const Entry& wanted) {
  Entry* found = nullptr;
  for (Entry& one : entries_)
    if (one.state.loaded && &one != &wanted && (!found || one.last_use < found->last_use))
      found = &one;
  return found;
}

/// Lets components go until the wanted one fits beside the rest.
void WeightMemory::make_room(const Entry& wanted) {
  bool dropped = false;
  {
    const std::lock_guard lock(mutex_);
    const auto is_full = [&] { return !fits(sum_loaded() + sum_kept() + wanted.state.bytes); };
    for (Entry& one : entries_) {
      if (one.state.kept_bytes == 0 || !is_full()) continue;
      drop_kept_of(one);
      dropped = true;
    }
    while (is_full()) {
      Entry* other = least_recent(wanted);
      if (other == nullptr) break;
      drop(*other);
      dropped = true;
    }
  }
  if (dropped) give_back_freed_memory();
}

/// Loads all of them or, when there is an error, none. The work of all is one queue: a small
/// component alone would leave threads idle at its end.
void WeightMemory::load(const std::vector<Entry*>& chosen) {
  const c10::InferenceMode inference;
  try {
    io::LoadQueue work;
    for (Entry* one : chosen) work.append(one->holder->prepare());
    work.run();
  } catch (...) {
    for (Entry* one : chosen) one->holder->drop();
    throw;
  }
  const std::lock_guard lock(mutex_);
  for (Entry* one : chosen) {
    one->state.loaded = true;
    ++one->state.loads;
    one->last_use = ++clock_;
  }
}

void WeightMemory::use(WeightHolder& holder) {
  Entry& wanted = [&]() -> Entry& {
    const std::lock_guard lock(mutex_);
    return entry(holder);
  }();
  if (!wanted.state.loaded) {
    make_room(wanted);
    load({&wanted});
  }
  const std::lock_guard lock(mutex_);
  ++wanted.state.uses;
  wanted.last_use = ++clock_;
}

void WeightMemory::let_go(WeightHolder& holder) {
  const std::lock_guard lock(mutex_);
  drop(entry(holder));
}

bool WeightMemory::is_loaded(const WeightHolder& holder) {
  const std::lock_guard lock(mutex_);
  return entry(holder).state.loaded;
}

void WeightMemory::check_limit() const {
  const std::lock_guard lock(mutex_);
  const auto largest = std::max_element(
      entries_.begin(), entries_.end(),
      [](const Entry& a, const Entry& b) { return a.state.bytes < b.state.bytes; });
  if (largest == entries_.end() || fits(largest->state.bytes)) return;
  throw InvalidRequest(message("[memory_limit] expected at least ", size_text(largest->state.bytes),
                               ", which the weights of '", largest->name, "' take, but got ",
                               *limit_, " bytes"));
}

void WeightMemory::load_all() {
  std::vector<Entry*> chosen;
  {
    const std::lock_guard lock(mutex_);
    int64_t bytes = sum_loaded() + sum_kept();
    for (Entry& one : entries_) {
      if (one.state.loaded || !fits(bytes + one.state.bytes)) continue;
      bytes += one.state.bytes;
      chosen.push_back(&one);
    }
  }
  load(chosen);
}

int64_t WeightMemory::whole_bytes() const {
  const std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const Entry& one : entries_) bytes += one.state.bytes;
  return bytes;
}

int64_t WeightMemory::loaded_bytes() const {
  const std::lock_guard lock(mutex_);
  return sum_loaded();
}

int64_t WeightMemory::taken_bytes() const {
  const std::lock_guard lock(mutex_);
  return sum_loaded() + sum_kept();
}

std::map<std::string, ComponentMemory> WeightMemory::states() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, ComponentMemory> states;
  for (const Entry& one : entries_) states[one.name] = one.state;
  return states;
}

}  // namespace sdrbee
