// The golden files that tests/python/golden/make_networks.py writes.
#pragma once

#include <string>

#include "sdrbee/io/json.h"
#include "sdrbee/io/safetensors.h"
#include "sdrbee/io/weight_scope.h"

namespace sdrbee::test {

/// The path of <file> in the source tree.
std::string source_path(const std::string& file);

/// The path of tests/cpp/golden/<file>.
std::string golden_path(const std::string& file);

/// One file: a network's configuration and weights, inputs, and the reference's outputs.
class Golden {
 public:
  /// Opens tests/cpp/golden/<name>.safetensors.
  explicit Golden(const std::string& name);

  const io::Config& config() const { return config_; }

  /// The network's weights, on the test device.
  io::WeightScope weights(Dtype dtype = Dtype::Float) const;

  /// Throws CheckpointError that lists the weights that nobody took.
  void check_all_weights_taken() const;

  /// "in.<name>" on the test device, or "out.<name>".
  Tensor input(const std::string& name) const;
  Tensor output(const std::string& name) const;

 private:
  io::SafetensorsFile file_;
  io::Config config_;
  mutable io::WeightLedger ledger_;
};

}  // namespace sdrbee::test
