#include "sdrbee/engine/prompt_checks.h"

#include <utility>

namespace sdrbee::engine {

std::shared_ptr<const PromptCheck> PromptChecks::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto [first, last] = by_model_.equal_range(name);
  for (auto one = first; one != last; ++one)
    if (auto check = one->second.lock()) return check;
  return nullptr;
}

void PromptChecks::keep(const std::string& name, const std::shared_ptr<const PromptCheck>& check) {
  const std::lock_guard lock(mutex_);
  std::erase_if(by_model_, [](const auto& entry) { return entry.second.expired(); });
  by_model_.emplace(name, check);
}

ModelSource PromptChecks::watched(ModelSource source, const std::shared_ptr<PromptChecks>& checks) {
  source.load = [load = std::move(source.load), name = source.name, checks](
                    int64_t worker, std::optional<int64_t> limit_bytes) {
    std::unique_ptr<ImageModel> model = load(worker, limit_bytes);
    checks->keep(name, model->prompt_check());
    return model;
  };
  return source;
}

}  // namespace sdrbee::engine
