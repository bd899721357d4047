// The models that an engine may be asked for.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/models/image_model.h"

namespace sdrbee::engine {

/// A model that an engine may be asked for.
struct ModelSource {
  std::string name;
  ModelInfo info;  ///< that of the loaded model
  /// Loads it for the engine's worker of that number, on the worker's thread. Where a limit is
  /// given, its components take turns, so that their weights never take more bytes together.
  std::function<std::unique_ptr<ImageModel>(int64_t worker, std::optional<int64_t> limit_bytes)>
      load;
  std::optional<int64_t> memory_limit = {};  ///< that its weights keep to by themselves
};

/// Models by name, of which there may come more and none go. Safe from any thread; the sources that
/// it hands out stay where they are.
class ModelSources {
 public:
  /// Throws InvalidRequest when there is none, or two have one name.
  explicit ModelSources(std::vector<ModelSource> sources);

  /// Throws InvalidRequest when there is one of that name.
  void add(ModelSource source);

  /// The source of that name; the first one for "". Throws InvalidRequest, which lists the names,
  /// when there is none.
  const ModelSource& find(const std::string& name) const;

  /// All, the first one first.
  std::vector<const ModelSource*> all() const;

 private:
  mutable std::mutex mutex_;
  std::deque<ModelSource> sources_;
};

}  // namespace sdrbee::engine
