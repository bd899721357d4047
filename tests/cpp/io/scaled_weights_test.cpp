#include "sdrbee/io/scaled_weights.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "sdrbee/core/error.h"
#include "support/memory_weights.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using test::MemoryWeights;
using testing::expect_error;

std::shared_ptr<const WeightSource> scaled(std::map<std::string, Tensor> tensors) {
  return with_scales(std::make_shared<MemoryWeights>(std::move(tensors)));
}

Tensor eighths() {  // exact in 8 bits
  return at::tensor({0.5F, -1.0F, 2.0F, 0.125F}).view({2, 2});
}

TEST(ScaledWeights, MultipliesEachWeightByTheScaleBesideIt) {
  const Tensor small = eighths().to(at::kFloat8_e4m3fn);
  const auto weights = scaled({{"a.weight", small},
                               {"a.scale_weight", at::tensor(3.0F)},
                               {"b.weight", small},
                               {"b.weight_scale", at::tensor({2.0F, 10.0F})},
                               {"b.bias", at::tensor({7.0F})},
                               {"c.weight", small}});
  EXPECT_TRUE(at::equal(weights->read("a.weight"), eighths() * 3));
  EXPECT_TRUE(
      at::equal(weights->read("b.weight"), at::tensor({1.0F, -2.0F, 20.0F, 1.25F}).view({2, 2})));
  EXPECT_TRUE(at::equal(weights->read("c.weight").to(at::kFloat), eighths()));
  EXPECT_EQ(weights->find("a.weight")->dtype, Dtype::Float);
  EXPECT_EQ(weights->find("c.weight")->dtype, Dtype::Float8_e4m3fn);
}

TEST(ScaledWeights, OffersNeitherScalesNorMarkers) {
  const auto weights = scaled({{"scaled_fp8", at::zeros({2})},
                               {"model.a.weight", eighths()},
                               {"model.a.scale_weight", at::tensor({1.0F})},
                               {"model.a.scale_input", at::tensor({1.0F})},
                               {"model.scaled_fp8", at::zeros({0})}});
  EXPECT_EQ(weights->names(), (std::vector<std::string>{"model.a.weight"}));
  EXPECT_FALSE(weights->find("model.a.scale_weight").has_value());
}

TEST(ScaledWeights, LeavesOtherSourcesAlone) {
  const auto plain =
      std::make_shared<MemoryWeights>(std::map<std::string, Tensor>{{"a.weight", eighths()}});
  EXPECT_EQ(with_scales(plain), plain);
}

TEST(ScaledWeights, NamesAScaleThatDoesNotFit) {
  expect_error<CheckpointError>(
      [] {
        scaled({{"a.weight", eighths()}, {"a.scale_weight", at::zeros({3})}});
      },
      "'a.scale_weight'", "[3]");
  expect_error<CheckpointError>(
      [] {
        scaled({{"a.scale_weight", at::zeros({1})}});
      },
      "missing tensor 'a.weight'", "a.scale_weight");
}

}  // namespace
}  // namespace sdrbee::io
