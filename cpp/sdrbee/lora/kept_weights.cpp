#include "sdrbee/lora/kept_weights.h"

#include <algorithm>
#include <ranges>
#include <utility>

namespace sdrbee::lora {

void KeptWeights::keep(const std::string& tensor, std::vector<WeightChange> changes,
                       io::LoadQueue::PutBack put_back, int64_t bytes) {
  entries_.push_front({tensor, std::move(changes), std::move(put_back), bytes});
  by_tensor_.emplace(tensor, entries_.begin());
  bytes_ += bytes;
}

std::optional<KeptWeights::Place> KeptWeights::find(
    const std::string& tensor, const std::vector<WeightChange>& changes) const {
  const auto [first, last] = by_tensor_.equal_range(tensor);
  const auto found =
      std::find_if(first, last, [&](const auto& item) { return item.second->changes == changes; });
  return found == last ? std::nullopt : std::optional(found->second);
}

bool KeptWeights::put_back(const std::string& tensor, const std::vector<WeightChange>& changes) {
  const auto found = find(tensor, changes);
  if (!found) return false;
  (*found)->put_back();
  forget(*found);
  return true;
}

void KeptWeights::shrink(int64_t limit_bytes) {
  while (!entries_.empty() && bytes_ > limit_bytes) forget(std::prev(entries_.end()));
}

void KeptWeights::forget(Place entry) {
  const auto [first, last] = by_tensor_.equal_range(entry->tensor);
  by_tensor_.erase(
      std::find_if(first, last, [&](const auto& item) { return item.second == entry; }));
  bytes_ -= entry->bytes;
  entries_.erase(entry);
}

}  // namespace sdrbee::lora
