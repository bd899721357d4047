#include "support/memory_weights.h"

#include <cstdlib>

#include "sdrbee/core/error.h"
#include "sdrbee/core/rng.h"

namespace sdrbee::test {

std::vector<std::string> MemoryWeights::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

std::optional<io::WeightInfo> MemoryWeights::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  return io::WeightInfo{found->second.scalar_type(), found->second.sizes().vec()};
}

Tensor MemoryWeights::read(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw CheckpointError(message("[memory] missing tensor ", name));
  return found->second;
}

io::WeightScope MemoryWeights::scope(Dtype dtype) const {
  return io::WeightScope(*this, ledger_, dtype, test_device());
}

Device test_device() {
  const char* name = std::getenv("SDRBEE_TEST_DEVICE");
  return parse_device(name == nullptr ? "cpu" : name);
}

Tensor random_tensor(at::IntArrayRef shape, uint64_t seed) {
  return NoiseSource(seed).normal(shape).to(test_device());
}

double relative_error(const Tensor& actual, const Tensor& expected) {
  const Tensor a = actual.to(at::kCPU, at::kDouble);
  const Tensor e = expected.to(at::kCPU, at::kDouble);
  if (a.sizes() != e.sizes())
    throw InternalError(message("[relative_error] shapes differ: ", shape_text(a.sizes()), " and ",
                                shape_text(e.sizes())));
  return a.sub(e).norm().item<double>() / e.norm().item<double>();
}

double largest_difference(const Tensor& actual, const Tensor& expected) {
  return actual.to(at::kCPU, at::kDouble)
      .sub(expected.to(at::kCPU, at::kDouble))
      .abs()
      .max()
      .item<double>();
}

}  // namespace sdrbee::test
