// Weights that acted lately, ready to act again.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sdrbee/io/load_queue.h"
#include "sdrbee/lora/adapted_weights.h"

namespace sdrbee::lora {

/// The large weights of a component as layers had them, each under the changes that were on it: so
/// that going back to LoRAs that are known, or to none, needs no reading and no arithmetic. What
/// acts at the moment is not among them.
class KeptWeights {
 public:
  /// Keeps a tensor that doesn't act any more. It takes `bytes` in memory.
  void keep(const std::string& tensor, std::vector<WeightChange> changes,
            io::LoadQueue::PutBack put_back, int64_t bytes);

  /// Lets the tensor with these changes act, which is then not kept any more; false when it isn't.
  bool put_back(const std::string& tensor, const std::vector<WeightChange>& changes);

  /// Whether the tensor with these changes is kept.
  bool contains(const std::string& tensor, const std::vector<WeightChange>& changes) const {
    return find(tensor, changes).has_value();
  }

  /// Forgets what acted the longest time ago until the rest takes no more than `limit_bytes`.
  void shrink(int64_t limit_bytes);

  int64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string tensor;
    std::vector<WeightChange> changes;
    io::LoadQueue::PutBack put_back;
    int64_t bytes = 0;
  };
  using Place = std::list<Entry>::iterator;
  void forget(Place entry);
  std::optional<Place> find(const std::string& tensor,
                            const std::vector<WeightChange>& changes) const;

  std::list<Entry> entries_;  // the latest first
  std::multimap<std::string, Place> by_tensor_;
  int64_t bytes_ = 0;
};

}  // namespace sdrbee::lora
