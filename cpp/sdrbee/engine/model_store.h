// The models that a worker has in memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sdrbee/engine/job.h"
#include "sdrbee/engine/model_sources.h"
#include "sdrbee/generation/preview.h"
#include "sdrbee/models/image_model.h"

namespace sdrbee::engine {

/// What decides which models stay in memory; without it all do.
struct StoreOptions {
  std::optional<int64_t> memory_budget = {};  ///< bytes that the weights of all of them may take
  std::optional<int64_t> max_loaded = {};     ///< how many of them there may be
  /// A model that was not used for so long is let go.
  std::optional<std::chrono::duration<double>> keep_alive = {};
};

/// A model in memory, as far as users may know.
struct LoadedModel {
  std::string name;
  int64_t bytes = 0;  ///< that its weights take now, with those kept for other LoRAs
  bool pinned = false;
  bool in_use = false;
  std::chrono::duration<double> idle{0};  ///< since its last use
};

/// How often models were loaded, and how long that took in all. Their files are read and checked
/// then; the weights belong to it where they were asked for, else the first picture loads them.
struct LoadStatistics {
  int64_t count = 0;
  std::chrono::duration<double> time{0};
};

/// A loaded model, and what is kept beside it as long as it lives.
struct ResidentModel {
  std::unique_ptr<ImageModel> model;
  Previewer previewer;

  explicit ResidentModel(std::unique_ptr<ImageModel> loaded)
      : model(std::move(loaded)), previewer(*model) {}
};

/// Loads models when they are used, and lets those go that were not used the longest time, where
/// the options leave no room. Models in use and pinned ones stay.
///
/// What a model may take is the size of all its components, also while some of them are not loaded
/// yet; idle models count what they take now, of which what they keep for LoRAs makes room first.
/// A model that is larger than what is left for it gets that as its own limit.
///
/// use(), load() and rest() are for the worker's thread, the rest for any.
class ModelStore {
 public:
  /// `sources` must outlive the store.
  ModelStore(const ModelSources& sources, int64_t worker, const StoreOptions& options)
      : sources_(sources), worker_(worker), options_(options) {}

  /// The model, from now on in use in the place of the one before it. Throws what loading throws,
  /// and OutOfMemory when the pinned models leave no room for it.
  ResidentModel& use(const std::string& name);

  /// Loads the model with all its weights, as far as they fit. No model is in use afterwards.
  void load(const std::string& name);

  /// No model is in use.
  void rest();

  /// Lets the model go: at once, or when it is no longer in use.
  void unload(const std::string& name);

  /// Whether the model stays once it is loaded, until unload() or the end.
  void pin(const std::string& name, bool pinned);

  /// Lets go what was idle for too long.
  void sweep();

  /// When the next model will have been idle for too long.
  std::optional<Clock::time_point> next_sweep() const;

  /// The loaded models by name.
  std::vector<LoadedModel> loaded() const;

  /// All loads since the beginning.
  LoadStatistics statistics() const;

 private:
  struct Entry {
    std::unique_ptr<ResidentModel> resident;
    std::optional<int64_t> limit;  // that its weights keep to
    Clock::time_point last_use;
    bool leaving = false;  // unload() came while it was in use
  };
  using Entries = std::map<std::string, Entry>;
  using Gone = std::vector<std::unique_ptr<ResidentModel>>;  // to be destroyed without the lock

  static int64_t most_bytes(const Entry& entry);
  std::optional<int64_t> room_for(const std::string& name) const;
  void drop_misfit(const std::string& name, std::optional<int64_t> limit);
  int64_t bytes_with(const std::string& name) const;
  void make_room_for(const std::string& name);
  void count_load(Clock::time_point began, int64_t loads);
  Entries::iterator least_recent(const std::string& but);
  bool stays(const Entries::value_type& entry) const;
  Gone take_if(const std::function<bool(Entries::value_type&)>& which);

  const ModelSources& sources_;
  const int64_t worker_;
  const StoreOptions options_;

  mutable std::mutex mutex_;  // of what follows
  Entries entries_;
  std::set<std::string> pinned_;
  std::string in_use_;
  LoadStatistics statistics_;
};

}  // namespace sdrbee::engine
