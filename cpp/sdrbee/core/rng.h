// Random numbers that are the same as those of torch's CPU generator.
#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee {

/// The noise of one image: torch's CPU generator (mt19937) with its own seed, so that the numbers
/// are those of `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))`.
/// A value: copies continue independently, and the state can be stored and put back.
class NoiseSource {
 public:
  explicit NoiseSource(uint64_t seed);
  NoiseSource(const NoiseSource& other);
  NoiseSource& operator=(const NoiseSource& other);
  NoiseSource(NoiseSource&&) = default;
  NoiseSource& operator=(NoiseSource&&) = default;
  ~NoiseSource() = default;

  /// Draws the next standard normal tensor: fp32, on the CPU.
  Tensor normal(at::IntArrayRef shape);

  /// Standard normal noise that depends on the seed and `index` only, not on what was drawn
  /// before: for samplers whose noise must survive resuming and batching. fp32, on the CPU.
  Tensor normal_at(at::IntArrayRef shape, uint64_t index) const;

  uint64_t seed() const { return seed_; }

  /// The generator's state as bytes; `restore` continues with the same numbers.
  /// Throws CheckpointError when the bytes are not such a state.
  std::vector<uint8_t> state() const;
  static NoiseSource restore(uint64_t seed, const std::vector<uint8_t>& state);

 private:
  uint64_t seed_;
  at::Generator generator_;
};

}  // namespace sdrbee
