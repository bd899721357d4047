// The prompt checks of the models that an engine's workers have in memory.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "sdrbee/engine/model_sources.h"
#include "sdrbee/models/prompt_check.h"

namespace sdrbee::engine {

/// Knows the tokenizers of loaded models, as long as they stay loaded. Safe from any thread; nobody
/// holds its lock while anything is loaded or counted.
class PromptChecks {
 public:
  /// That of a model which some worker has in memory; null: none has, or it counts no tokens.
  std::shared_ptr<const PromptCheck> find(const std::string& name) const;

  /// The source, whose models are known here from now on; `checks` lives as long as it does.
  static ModelSource watched(ModelSource source, const std::shared_ptr<PromptChecks>& checks);

 private:
  void keep(const std::string& name, const std::shared_ptr<const PromptCheck>& check);

  mutable std::mutex mutex_;
  std::multimap<std::string, std::weak_ptr<const PromptCheck>> by_model_;  // one a worker
};

}  // namespace sdrbee::engine
