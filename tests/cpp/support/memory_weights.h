// Weights in memory and comparisons of tensors, for tests of layers and networks.
#pragma once

#include <ATen/core/Generator.h>

#include <map>
#include <string>
#include <vector>

#include "sdrbee/io/weight_scope.h"

namespace sdrbee::test {

/// A WeightSource over tensors in memory.
class MemoryWeights final : public io::WeightSource {
 public:
  MemoryWeights() = default;
  explicit MemoryWeights(std::map<std::string, Tensor> tensors) : tensors_(std::move(tensors)) {}

  std::vector<std::string> names() const override;
  std::optional<io::WeightInfo> find(const std::string& name) const override;
  Tensor read(const std::string& name) const override;
  std::string origin(const std::string&) const override { return "memory"; }

  /// A scope at the root, in fp32 on the test device unless said otherwise.
  io::WeightScope scope(Dtype dtype = Dtype::Float) const;
  const io::WeightLedger& ledger() const { return ledger_; }

 private:
  std::map<std::string, Tensor> tensors_;
  mutable io::WeightLedger ledger_;
};

/// The device that tests of networks run on: SDRBEE_TEST_DEVICE, or the CPU.
Device test_device();

/// Normally distributed numbers from `seed`, on the test device.
Tensor random_tensor(at::IntArrayRef shape, uint64_t seed);

/// ||actual - expected|| / ||expected|| in fp64.
double relative_error(const Tensor& actual, const Tensor& expected);

/// The largest absolute difference, in fp64.
double largest_difference(const Tensor& actual, const Tensor& expected);

}  // namespace sdrbee::test
