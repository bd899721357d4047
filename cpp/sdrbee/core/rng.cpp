#include "sdrbee/core/rng.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/randn.h>

#include <cstring>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

/// SplitMix64's finaliser: spreads neighbouring seeds and indices over all 64 bits.
/// Steele et al. 2014, "Fast splittable pseudorandom number generators".
uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

Tensor draw(at::IntArrayRef shape, at::Generator generator) {
  return at::randn(shape, std::move(generator), at::TensorOptions().dtype(at::kFloat));
}

}  // namespace

NoiseSource::NoiseSource(uint64_t seed)
    : seed_(seed), generator_(at::detail::createCPUGenerator(seed)) {}

NoiseSource::NoiseSource(const NoiseSource& other)
    : seed_(other.seed_), generator_(other.generator_.clone()) {}

NoiseSource& NoiseSource::operator=(const NoiseSource& other) {
  if (this != &other) *this = NoiseSource(other);
  return *this;
}

Tensor NoiseSource::normal(at::IntArrayRef shape) { return draw(shape, generator_); }

Tensor NoiseSource::normal_at(at::IntArrayRef shape, uint64_t index) const {
  constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15ULL;
  return draw(shape, at::detail::createCPUGenerator(mix(mix(seed_) + kGoldenGamma * (index + 1))));
}

std::vector<uint8_t> NoiseSource::state() const {
  const Tensor state = generator_.get_state();
  const auto* bytes = state.const_data_ptr<uint8_t>();
  return {bytes, bytes + state.numel()};
}

NoiseSource NoiseSource::restore(uint64_t seed, const std::vector<uint8_t>& state) {
  NoiseSource source(seed);
  Tensor bytes = source.generator_.get_state().clone();
  if (static_cast<size_t>(bytes.numel()) != state.size())
    throw CheckpointError(
        message("[noise state] expected ", bytes.numel(), " bytes but got ", state.size()));
  std::memcpy(bytes.mutable_data_ptr<uint8_t>(), state.data(), state.size());
  try {
    source.generator_.set_state(bytes);
  } catch (const c10::Error&) {
    throw CheckpointError("[noise state] the bytes are not a generator state");
  }
  return source;
}

}  // namespace sdrbee
