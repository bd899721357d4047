#include "sdrbee/lora/adapted_weights.h"

#include <ATen/ops/cat.h>

#include <sstream>

#include "sdrbee/core/cast.h"
#include "sdrbee/core/sha256.h"
#include "sdrbee/io/dequantise.h"
#include "sdrbee/nn/cpu/low_rank_sum.h"

namespace sdrbee::lora {
namespace {

const LoraModule& module_of(const WeightChange& change) {
  return change.file->modules()[change.module];
}

/// The factors of several changes side by side, where all of them are products.
std::optional<LowRank> joined(const std::vector<WeightChange>& changes) {
  std::vector<Tensor> ups;
  std::vector<Tensor> downs;
  for (const WeightChange& change : changes) {
    if (change.bias) return std::nullopt;
    const auto factors = low_rank(*change.file, module_of(change), change.strength, change.rows);
    if (!factors) return std::nullopt;
    if (changes.size() == 1) return factors;
    ups.push_back(factors->up);
    downs.push_back(factors->down);
  }
  return LowRank{at::cat(ups, 1), at::cat(downs, 0)};
}

Tensor with_product(const Tensor& weight, const LowRank& factors, Dtype dtype) {
  const Tensor rows = weight.reshape({weight.size(0), -1});
  return nn::cpu::low_rank_sum(rows, factors.up, factors.down, dtype).view(weight.sizes());
}

/// The sum of all changes of `weight` [fp32], of its shape.
Tensor added(const std::vector<WeightChange>& changes, const Tensor& weight) {
  Tensor sum;
  for (const WeightChange& change : changes) {
    const LoraModule& module = module_of(change);
    const Tensor one =
        change.bias ? bias_delta(*change.file, module, change.strength, change.rows)
                    : weight_delta(*change.file, module, weight, change.strength, change.rows);
    sum = sum.defined() ? sum + one.reshape(weight.sizes()) : one.reshape(weight.sizes());
  }
  return sum;
}

}  // namespace

std::set<std::string> AdaptedWeights::renew() {
  std::set<std::string> changed;
  const auto differs = [](const WeightChanges& one, const WeightChanges& other, const auto& name) {
    const auto found = other.find(name);
    return found == other.end() || found->second != one.at(name);
  };
  for (const auto& item : acting_)
    if (differs(acting_, wanted_, item.first)) changed.insert(item.first);
  for (const auto& item : wanted_)
    if (differs(wanted_, acting_, item.first)) changed.insert(item.first);
  acting_ = wanted_;
  return changed;
}

std::string AdaptedWeights::key() const {
  if (wanted_.empty()) return "";
  std::ostringstream text;
  text << std::hexfloat;
  for (const auto& [name, changes] : wanted_)
    for (const WeightChange& change : changes)
      text << name << ' ' << change.file->sha256() << ' ' << change.strength << '\n';
  Sha256 hash;
  hash.update(text.str());
  return hash.hexadecimal();
}

Tensor AdaptedWeights::read(const std::string& name) const {
  return acting_.contains(name) ? read_as(name, Dtype::Float) : original_->read(name);
}

Tensor AdaptedWeights::read_as(const std::string& name, Dtype dtype) const {
  const auto found = acting_.find(name);
  if (found == acting_.end()) return original_->read_as(name, dtype);
  const Tensor original = original_->read(name);
  if (const auto factors = joined(found->second)) return with_product(original, *factors, dtype);
  const Tensor values = cast(original, Dtype::Float);
  return cast(values + added(found->second, values), dtype);
}

io::QuantisedTensor AdaptedWeights::read_blocks(const std::string& name) const {
  io::QuantisedTensor blocks = original_->read_blocks(name);
  const auto found = acting_.find(name);
  if (found == acting_.end()) return blocks;
  if (auto factors = joined(found->second)) {
    blocks.added = {std::move(factors->up), std::move(factors->down)};
  } else {
    const Tensor values = io::dequantise(blocks, Dtype::Float);
    blocks.added = {added(found->second, values).reshape({values.size(0), -1}), {}};
  }
  return blocks;
}

}  // namespace sdrbee::lora
