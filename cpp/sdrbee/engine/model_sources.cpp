#include "sdrbee/engine/model_sources.h"

#include <algorithm>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::engine {

ModelSources::ModelSources(std::vector<ModelSource> sources) {
  if (sources.empty()) throw InvalidRequest("[models] expected one or more but got none");
  for (ModelSource& source : sources) add(std::move(source));
}

void ModelSources::add(ModelSource source) {
  const std::lock_guard lock(mutex_);
  if (std::ranges::find(sources_, source.name, &ModelSource::name) != sources_.end())
    throw InvalidRequest(message("[models] '", source.name, "' is there twice"));
  sources_.push_back(std::move(source));
}

const ModelSource& ModelSources::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  if (name.empty()) return sources_.front();
  const auto found = std::ranges::find(sources_, name, &ModelSource::name);
  if (found != sources_.end()) return *found;
  std::string known;
  for (const ModelSource& source : sources_)
    known += (known.empty() ? "'" : ", '") + source.name + "'";
  throw InvalidRequest(message("[model] expected one of ", known, " but got '", name, "'"));
}

std::vector<const ModelSource*> ModelSources::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<const ModelSource*> sources;
  for (const ModelSource& source : sources_) sources.push_back(&source);
  return sources;
}

}  // namespace sdrbee::engine
