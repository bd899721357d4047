#include "sdrbee/nn/quantised_weight.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/dequantise.h"
#include "sdrbee/io/quantise.h"
#include "sdrbee/nn/conv2d.h"
#include "sdrbee/nn/embedding.h"
#include "sdrbee/nn/linear.h"
#include "support/memory_weights.h"

namespace sdrbee::nn {
namespace {

using test::MemoryWeights;
using test::random_tensor;

/// Tensors in memory, some of them in blocks.
class BlockWeights final : public io::WeightSource {
 public:
  std::vector<std::string> names() const override { return {}; }
  std::optional<io::WeightInfo> find(const std::string& name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    io::WeightInfo info = {Dtype::Float, found->second.shape};
    if (!io::ggml_layout(found->second.type).dtype) info.blocks = found->second.type;
    return info;
  }
  Tensor read(const std::string& name) const override {
    return io::dequantise(tensors_.at(name), Dtype::Float);
  }
  io::QuantisedTensor read_blocks(const std::string& name) const override {
    return tensors_.at(name);
  }
  std::string origin(const std::string&) const override { return "memory"; }

  void add(const std::string& name, const Tensor& values, io::GgmlType type) {
    tensors_[name] = io::quantise(values, type);
  }
  io::WeightScope scope() const { return {*this, ledger_, Dtype::Float, Device(c10::kCPU)}; }
  /// The same values, none of them in blocks.
  MemoryWeights expanded() const {
    std::map<std::string, Tensor> values;
    for (const auto& [name, tensor] : tensors_) values[name] = io::dequantise(tensor, Dtype::Float);
    return MemoryWeights(values);
  }

 private:
  std::map<std::string, io::QuantisedTensor> tensors_;
  mutable io::WeightLedger ledger_;
};

Tensor cpu_tensor(at::IntArrayRef shape, uint64_t seed) {
  return random_tensor(shape, seed).to(c10::kCPU);
}

/// Weight [out, in, ...] in blocks and a bias [out].
BlockWeights layer(at::IntArrayRef shape, io::GgmlType type = io::GgmlType::Q8_0) {
  BlockWeights weights;
  weights.add("weight", cpu_tensor(shape, 1), type);
  weights.add("bias", cpu_tensor({shape[0]}, 2), io::GgmlType::F32);
  return weights;
}

// Other kernels than those of packed weights: the order of sums differs.
constexpr double kTolerance = 1e-6;

TEST(QuantisedWeight, LinearEqualsTheExpandedOne) {
  for (const io::GgmlType type : {io::GgmlType::Q8_0, io::GgmlType::Q4_0, io::GgmlType::Q5_1}) {
    const BlockWeights weights = layer({96, 64}, type);
    const MemoryWeights expanded = weights.expanded();
    const Linear quantised(weights.scope(), 64, 96);
    const Linear plain(expanded.scope(), 64, 96);
    const Tensor x = cpu_tensor({2, 5, 64}, 3);
    const Tensor other = cpu_tensor({2, 5, 96}, 4);
    EXPECT_LT(test::relative_error(quantised(x), plain(x)), kTolerance);
    EXPECT_LT(test::relative_error(quantised.add(x, other), plain.add(x, other)), kTolerance);
    EXPECT_LT(test::relative_error(quantised.multiplied(x, other), plain.multiplied(x, other)),
              kTolerance);
    EXPECT_LT(test::relative_error(quantised.activated(x, Activation::GeluTanh),
                                   plain.activated(x, Activation::GeluTanh)),
              kTolerance);
  }
}

TEST(QuantisedWeight, LinearIsExpandedInPieces) {
  // More than what is expanded together, and not a multiple of it.
  const BlockWeights weights = layer({2500, 4096});
  const MemoryWeights expanded = weights.expanded();
  const Tensor x = cpu_tensor({3, 4096}, 3);
  const Tensor got = Linear(weights.scope(), 4096, 2500)(x);
  EXPECT_LT(test::relative_error(got, Linear(expanded.scope(), 4096, 2500)(x)), kTolerance);
}

TEST(QuantisedWeight, LinearTakesAKernelAsMatrix) {
  const BlockWeights weights = layer({32, 64, 1, 1});
  const MemoryWeights expanded = weights.expanded();
  const Tensor x = cpu_tensor({3, 64}, 3);
  const Tensor got = Linear(weights.scope(), 64, 32)(x);
  EXPECT_LT(test::relative_error(got, Linear(expanded.scope(), 64, 32)(x)), kTolerance);
}

TEST(QuantisedWeight, ReplacingItEndsTheBlocks) {
  const BlockWeights weights = layer({32, 64});
  Linear linear(weights.scope(), 64, 32);
  const Tensor weight = cpu_tensor({32, 64}, 9);
  linear.replace_weight(weight);
  const MemoryWeights plain({{"weight", weight}, {"bias", weights.read("bias")}});
  const Tensor x = cpu_tensor({3, 64}, 3);
  EXPECT_LT(test::relative_error(linear(x), Linear(plain.scope(), 64, 32)(x)), kTolerance);
}

TEST(QuantisedWeight, GegluEqualsTheExpandedOne) {
  BlockWeights weights;
  weights.add("proj.weight", cpu_tensor({128, 32}, 1), io::GgmlType::Q8_0);
  weights.add("proj.bias", cpu_tensor({128}, 2), io::GgmlType::F32);
  const MemoryWeights expanded = weights.expanded();
  const Tensor x = cpu_tensor({3, 32}, 3);
  const Tensor got = Geglu(weights.scope(), 32, 64)(x);
  EXPECT_LT(test::relative_error(got, Geglu(expanded.scope(), 32, 64)(x)), kTolerance);
}

TEST(QuantisedWeight, ConvolutionEqualsTheExpandedOne) {
  const BlockWeights weights = layer({24, 32, 3, 3});
  const MemoryWeights expanded = weights.expanded();
  const Conv2dOptions options = {.stride = 2, .padding = 1};
  const Conv2d quantised(weights.scope(), 32, 24, 3, options);
  const Conv2d plain(expanded.scope(), 32, 24, 3, options);
  const Tensor x = cpu_tensor({2, 32, 9, 7}, 3);
  const Tensor residual = cpu_tensor({2, 24, 5, 4}, 4);
  EXPECT_LT(test::relative_error(quantised(x), plain(x)), kTolerance);
  EXPECT_LT(test::relative_error(quantised.add(x, residual), plain.add(x, residual)), kTolerance);
  EXPECT_TRUE(quantised(x).is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(QuantisedWeight, EmbeddingEqualsTheExpandedOne) {
  for (const int64_t width : {64, 48}) {  // 48: rows are no whole blocks
    BlockWeights weights;
    weights.add("weight", cpu_tensor({20, width}, 1), io::GgmlType::Q8_0);
    const MemoryWeights expanded = weights.expanded();
    const Embedding quantised(weights.scope(), 20, width);
    const Embedding plain(expanded.scope(), 20, width);
    const Tensor ids = at::arange(19, -1, -3).to(Dtype::Long).view({1, 7});
    EXPECT_TRUE(at::equal(quantised(ids), plain(ids)));
    EXPECT_TRUE(at::equal(quantised.first(3), plain.first(3)));
  }
}

TEST(QuantisedWeight, AWrongShapeIsNamed) {
  const BlockWeights weights = layer({32, 64});
  EXPECT_THROW(Linear(weights.scope(), 32, 64), CheckpointError);
}

}  // namespace
}  // namespace sdrbee::nn
