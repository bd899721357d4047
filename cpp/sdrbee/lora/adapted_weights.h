// A component's weights with the changes of LoRAs on them.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sdrbee/io/weight_source.h"
#include "sdrbee/lora/lora_delta.h"
#include "sdrbee/lora/lora_file.h"

namespace sdrbee::lora {

/// What one file changes of one tensor.
struct WeightChange {
  std::shared_ptr<const LoraFile> file;
  size_t module = 0;  ///< of file->modules()
  bool bias = false;  ///< its change of the bias, not of the weight
  double strength = 1.0;
  Rows rows = {};
  bool operator==(const WeightChange&) const = default;
};

/// The changes of a component by the names of its tensors. They add up: each is computed from the
/// weight as the model has it.
using WeightChanges = std::map<std::string, std::vector<WeightChange>>;

/// The source of a component's weights, to which LoRAs can be added and taken away again. The
/// source itself is never written: a tensor without changes is read from it as it is, so that
/// nothing is left of changes that were taken away.
class AdaptedWeights final : public io::WeightSource {
 public:
  explicit AdaptedWeights(std::shared_ptr<const io::WeightSource> original)
      : original_(std::move(original)) {}

  const io::WeightSource& original() const { return *original_; }

  /// The changes that are to act from the next renew() on. Their names must be of the source and
  /// their shapes checked.
  void want(WeightChanges changes) { wanted_ = std::move(changes); }

  /// What acts.
  const WeightChanges& acting() const { return acting_; }

  /// Makes what is wanted act; the names of the tensors that now are others than before.
  std::set<std::string> renew();

  /// What is wanted, as a key: equal for equal changes only; empty without changes.
  std::string key() const;

  std::vector<std::string> names() const override { return original_->names(); }
  std::optional<io::WeightInfo> find(const std::string& name) const override {
    return original_->find(name);
  }

  /// With its changes, where it has any: then in fp32.
  Tensor read(const std::string& name) const override;
  Tensor read_as(const std::string& name, Dtype dtype) const override;

  /// The blocks as they are, with the changes beside them.
  io::QuantisedTensor read_blocks(const std::string& name) const override;

  std::string origin(const std::string& name) const override { return original_->origin(name); }

 private:
  std::shared_ptr<const io::WeightSource> original_;
  WeightChanges wanted_;
  WeightChanges acting_;
};

}  // namespace sdrbee::lora
