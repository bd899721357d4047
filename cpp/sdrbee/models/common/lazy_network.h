// A network of a component of a checkpoint that is in memory while it is needed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sdrbee/core/check.h"
#include "sdrbee/io/checkpoint.h"
#include "sdrbee/io/load_queue.h"
#include "sdrbee/io/weight_scope.h"
#include "sdrbee/lora/adapted_weights.h"
#include "sdrbee/lora/kept_weights.h"
#include "sdrbee/models/adapters.h"
#include "sdrbee/models/registry.h"
#include "sdrbee/models/weight_memory.h"

namespace sdrbee {

/// A network whose weights are checked at once, from headers alone, and read and packed at its
/// first use; and again after it had to make room for other components (WeightMemory).
template <typename Network>
class LazyNetwork {
 public:
  using Build = std::function<Network(const io::WeightScope&)>;

  /// `build(scope)` at the root of the component's weights, called again for every load. Throws
  /// CheckpointError when the weights don't fit the network or hold tensors that it has no place
  /// for, other than names that contain one of `ignorable`.
  LazyNetwork(const io::Component& component, const LoadOptions& options, Build build,
              std::vector<std::string> ignorable = {})
      : holder_(
            std::make_unique<Holder>(component, options, std::move(build), std::move(ignorable))) {}

  /// The network with its weights, until the next use of another one of the same model.
  const Network& use() const { return holder_->use(); }

  /// The LoRAs that act on it, as a key: empty without any.
  std::string adapter_key() const { return holder_->adapter_key(); }

 private:
  class Holder final : public WeightHolder {
   public:
    Holder(const io::Component& component, const LoadOptions& options, Build build,
           std::vector<std::string> ignorable)
        : component_(component),
          options_(options),
          build_(std::move(build)),
          ignorable_(std::move(ignorable)),
          weights_(std::make_shared<lora::AdaptedWeights>(component.weights)) {
      SDRBEE_CHECK(options_.memory != nullptr);
      if (options_.adapters) options_.adapters->add(component_.name, weights_);
      const int64_t bytes = build_from_headers();
      options_.memory->add(*this, component_.name, bytes);
    }
    ~Holder() override { options_.memory->remove(*this); }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

    const Network& use() {
      renew_weights();
      options_.memory->use(*this);
      return *network_;
    }

    std::string adapter_key() const { return weights_->key(); }

    io::LoadQueue prepare() override {
      if (!network_) build_from_headers();
      return queue_;
    }

    void drop() override {
      network_.reset();
      queue_ = {};
      kept_ = {};
    }

    void drop_kept() override { kept_ = {}; }

   private:
    /// Reads what adapters that came or went have changed: the large weights alone, or all where
    /// others changed, which the layers hold as values.
    void renew_weights() {
      const lora::WeightChanges before = weights_->acting();
      const std::set<std::string> changed = weights_->renew();
      if (changed.empty() || !network_) return;
      try {
        if (!queue_.reads_all(changed)) return options_.memory->let_go(*this);
        if (options_.memory->is_loaded(*this)) queue_.reading(exchange(changed, before)).run();
      } catch (...) {
        options_.memory->let_go(*this);
        throw;
      }
    }

    /// Lets the tensors act that are kept with their present changes, and keeps what acted instead
    /// of them; the names of the others.
    std::set<std::string> exchange(const std::set<std::string>& changed,
                                   const lora::WeightChanges& before) {
      auto acted = queue_.remember(worth_keeping(changed, before));
      std::set<std::string> missing;
      for (const std::string& name : changed)
        if (!kept_.put_back(name, changes_of(weights_->acting(), name))) missing.insert(name);
      for (auto& [name, put_back] : acted)
        kept_.keep(name, changes_of(before, name), std::move(put_back), ledger_.bytes(name));
      kept_.shrink(options_.memory->may_keep(*this));
      options_.memory->note_kept(*this, kept_.bytes());
      return missing;
    }

    /// Of the tensors that act, those to keep: as many as may be, but none of the checkpoint's own
    /// where another one has to be made instead. That one gets its memory, which costs less than
    /// new memory, and the file still has the values.
    std::set<std::string> worth_keeping(const std::set<std::string>& changed,
                                        const lora::WeightChanges& before) {
      int64_t left = options_.memory->may_keep(*this);
      std::set<std::string> chosen;
      for (const std::string& name : changed) {
        const bool is_worth =
            before.contains(name) || kept_.contains(name, changes_of(weights_->acting(), name));
        if (!is_worth || ledger_.bytes(name) > left) continue;
        left -= ledger_.bytes(name);
        chosen.insert(name);
      }
      return chosen;
    }

    static std::vector<lora::WeightChange> changes_of(const lora::WeightChanges& all,
                                                      const std::string& name) {
      const auto found = all.find(name);
      return found == all.end() ? std::vector<lora::WeightChange>() : found->second;
    }

    /// The network without its large weights; returns the bytes of all of them.
    int64_t build_from_headers() {
      ledger_ = {};
      network_.emplace(
          build_(io::WeightScope(*weights_, ledger_, options_.dtype, options_.device, &queue_)));
      ledger_.check_all_taken(*weights_, "", ignorable_);
      return ledger_.bytes();
    }

    io::Component component_;
    LoadOptions options_;
    Build build_;
    std::vector<std::string> ignorable_;
    std::shared_ptr<lora::AdaptedWeights> weights_;
    std::optional<Network> network_;
    io::WeightLedger ledger_;  // what it took
    io::LoadQueue queue_;      // what reads the network's large weights
    lora::KeptWeights kept_;
  };

  std::unique_ptr<Holder> holder_;
};

}  // namespace sdrbee
