// Which components of a model have their weights in memory, and how much all of them may take.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/load_queue.h"

namespace sdrbee {

/// A component's weights in memory, as far as users may know.
struct ComponentMemory {
  int64_t bytes = 0;       // that the weights take while they are loaded
  bool loaded = false;     // whether they are
  int64_t loads = 0;       // how often they were loaded
  int64_t uses = 0;        // how often the component ran; a text encoder: texts that no cache had
  int64_t kept_bytes = 0;  // beside them: of weights that acted with other LoRAs than now
  bool operator==(const ComponentMemory&) const = default;
};

/// A component that can let its weights go and load them again.
class WeightHolder {
 public:
  virtual ~WeightHolder() = default;

  /// The work that loads the weights; once all of it has run they are in memory.
  virtual io::LoadQueue prepare() = 0;

  /// Lets the weights go, also when some of them were never loaded.
  virtual void drop() = 0;

  /// Lets go what it keeps beside its weights, see WeightMemory::may_keep.
  virtual void drop_kept() = 0;
};

/// The memory that the components of one model share. A component that is to run is loaded; where
/// all together would then be over the limit, those that ran the longest time ago let go. Weights
/// are what counts: as they are stored in memory, quantised ones as in their file; tables that rows
/// are looked up in stay in the mapped file and count nothing. What a picture takes while it is
/// computed comes on top. One thread at a time may load; states() may be asked from any.
class WeightMemory {
 public:
  /// Without a limit nothing is ever let go.
  explicit WeightMemory(std::optional<int64_t> limit_bytes = std::nullopt) : limit_(limit_bytes) {}

  /// A component whose weights, not loaded yet, take `bytes`. It must be taken out again.
  void add(WeightHolder& holder, const std::string& name, int64_t bytes);
  void remove(const WeightHolder& holder);

  /// Called before a component runs: where its weights are not in memory, other components let
  /// theirs go until it fits beside the rest, and it is loaded.
  void use(WeightHolder& holder);

  /// Lets a component's weights go, to be loaded at its next use.
  void let_go(WeightHolder& holder);

  bool is_loaded(const WeightHolder& holder);

  /// What components may keep, all together, of weights that acted with other LoRAs than now.
  static constexpr int64_t kKeptBytes = int64_t{2} << 30;

  /// Allows less than kKeptBytes. When more is kept, all of it goes.
  void limit_kept(int64_t bytes);

  /// Lets go what components keep.
  void drop_kept();

  /// What of it the component may take: no more than the limit leaves beside all that is loaded.
  int64_t may_keep(const WeightHolder& holder);

  /// Says what a component keeps. It is the first to make room for components.
  void note_kept(const WeightHolder& holder, int64_t bytes);

  /// Throws InvalidRequest, saying the least limit, when the largest component is over the limit.
  void check_limit() const;

  /// Loads components, side by side, in the order in which they were added, as long as they fit.
  void load_all();

  /// What the weights of all components take together while they are loaded.
  int64_t whole_bytes() const;

  /// What those take that are loaded now.
  int64_t loaded_bytes() const;

  /// The same with what components keep.
  int64_t taken_bytes() const;

  /// All components by name.
  std::map<std::string, ComponentMemory> states() const;

 private:
  struct Entry {
    WeightHolder* holder;
    std::string name;
    ComponentMemory state;
    uint64_t last_use = 0;
  };
  Entry& entry(const WeightHolder& holder);
  int64_t sum_loaded() const;
  int64_t sum_kept() const;
  bool fits(int64_t bytes) const { return !limit_ || bytes <= *limit_; }
  Entry* least_recent(const Entry& wanted);
  void drop(Entry& one);
  static void drop_kept_of(Entry& one);
  void make_room(const Entry& wanted);
  void load(const std::vector<Entry*>& chosen);

  std::optional<int64_t> limit_;
  mutable std::mutex mutex_;  // of what follows
  int64_t kept_limit_ = kKeptBytes;
  std::list<Entry> entries_;  // others than the one in use may be taken out meanwhile
  uint64_t clock_ = 0;
};

}  // namespace sdrbee
