#include "sdrbee/models/adapters.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/lora/block_strengths.h"

namespace sdrbee {
namespace {

/// Files whose matching is kept; more than a request may have.
constexpr size_t kKnownFiles = 64;
constexpr size_t kListedKeys = 8;

std::string label(const lora::LoraUse& use) { return use.name.empty() ? use.path : use.name; }

/// What is said of keys that mean nothing in the model; empty when all mean something.
std::string complaint(const lora::LoraUse& use, const lora::LoraFile& file,
                      const lora::Matched& matched) {
  if (matched.unmatched.empty()) return "";
  std::string listed;
  for (size_t i = 0; i < std::min(kListedKeys, matched.unmatched.size()); ++i)
    listed += "\n  " + matched.unmatched[i];
  const std::string base = file.likely_base();
  return message("[loras] '", label(use), "': ", matched.unmatched.size(),
                 " tensors mean nothing in this model",
                 base.empty() ? "" : "; the file looks made for " + base, ":", listed,
                 matched.unmatched.size() > kListedKeys ? "\n  ..." : "");
}

/// When the file was written; a file that isn't there is told by whoever opens it.
std::filesystem::file_time_type last_change(const lora::LoraUse& use) {
  std::error_code missing;
  return std::filesystem::last_write_time(use.path, missing);
}

void check_hash(const lora::LoraUse& use, const lora::LoraFile& file) {
  if (!use.sha256.empty() && use.sha256 != file.sha256())
    throw InvalidRequest(message("[loras] '", label(use), "': expected the file with SHA-256 ",
                                 use.sha256, " but ", file.path().string(), " has ",
                                 file.sha256()));
}

}  // namespace

void Adapters::add(const std::string& component, std::shared_ptr<lora::AdaptedWeights> weights) {
  components_[component] = std::move(weights);
}

void Adapters::find_targets() {
  if (layers_) return;
  for (const lora::ComponentNames& names : names_)
    if (const auto found = components_.find(names.component); found != components_.end())
      targets_.push_back({names, found->second});
  layers_.emplace(targets_);
}

/// The file of `use`, opened and matched anew where it is not the one that is known.
const Adapters::Known& Adapters::known(const lora::LoraUse& use) {
  const auto changed = last_change(use);
  const auto found = std::ranges::find_if(known_, [&](const Known& one) {
    return one.use.path == use.path && one.use.strength == use.strength &&
           one.use.blocks == use.blocks && one.changed == changed;
  });
  if (found != known_.end()) {
    known_.splice(known_.begin(), known_, found);
    return known_.front();
  }
  const auto same_file = std::ranges::find_if(
      known_, [&](const Known& one) { return one.use.path == use.path && one.changed == changed; });
  auto file = same_file != known_.end() ? same_file->file : lora::LoraFile::open(use.path);
  lora::Matched matched = lora::match(file, use, targets_, *layers_);
  known_.push_front({use, changed, std::move(file), std::move(matched)});
  if (known_.size() > kKnownFiles) known_.pop_back();
  return known_.front();
}

std::vector<std::string> Adapters::use(std::vector<lora::LoraUse>& loras) {
  std::vector<std::filesystem::file_time_type> changed;
  for (const lora::LoraUse& use : loras) changed.push_back(last_change(use));
  if (loras == acting_ && changed == acting_since_) return warnings_;
  find_targets();
  std::vector<std::string> warnings;
  std::vector<lora::WeightChanges> changes(targets_.size());
  std::vector<std::string> hashes;
  for (const lora::LoraUse& use : loras) {
    const Known& one = known(use);
    check_hash(use, *one.file);
    hashes.push_back(one.file->sha256());
    const std::string text = complaint(use, *one.file, one.matched);
    if (!text.empty() && use.strict) throw CheckpointError(text);
    if (!text.empty()) warnings.push_back(text);
    for (size_t i = 0; i < changes.size(); ++i)
      for (const auto& [name, own] : one.matched.changes[i])
        changes[i][name].insert(changes[i][name].end(), own.begin(), own.end());
  }
  for (size_t i = 0; i < changes.size(); ++i) targets_[i].weights->want(std::move(changes[i]));
  for (size_t i = 0; i < loras.size(); ++i) loras[i].sha256 = hashes[i];
  acting_ = loras;
  acting_since_ = std::move(changed);
  warnings_ = std::move(warnings);
  return warnings_;
}

}  // namespace sdrbee
