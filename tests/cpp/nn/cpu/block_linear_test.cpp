#include "sdrbee/nn/cpu/block_linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <gtest/gtest.h>

#include "sdrbee/io/dequantise.h"
#include "sdrbee/io/quantise.h"
#include "support/memory_weights.h"

namespace sdrbee::nn::cpu {
namespace {

using test::random_tensor;
using test::relative_error;

constexpr double kTolerance = 2e-3;  // one rounding of the result, 2^-9

Tensor bf16_tensor(at::IntArrayRef shape, uint64_t seed) {
  return random_tensor(shape, seed).cpu().to(Dtype::BFloat16);
}

io::QuantisedTensor weight_of(int64_t out, int64_t in, io::GgmlType type) {
  return io::quantise(random_tensor({out, in}, 1).cpu(), type);
}

/// From the same bf16 weights, in double.
Tensor expected(const Tensor& x, const io::QuantisedTensor& weight, const Tensor& bias) {
  const Tensor values = io::dequantise(weight, Dtype::BFloat16).to(Dtype::Double);
  return at::linear(x.to(Dtype::Double), values,
                    bias.defined() ? bias.to(Dtype::Double) : Tensor());
}

class BlockLinear : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_block_linear(bf16_tensor({1, 32}, 1), weight_of(1, 32, io::GgmlType::Q8_0)))
      GTEST_SKIP() << "this processor has no AVX512-BF16";
  }
};

TEST_F(BlockLinear, EqualsTheExpandedProductForAllTails) {
  struct Sizes {
    int64_t rows, in, out;
  };
  // Of rows (32), of depth (512), of columns (16, and the panel of 256 for one or two threads).
  for (const auto& [rows, in, out] :
       {Sizes{1, 32, 1}, Sizes{31, 64, 17}, Sizes{33, 512, 48}, Sizes{64, 544, 530},
        Sizes{5, 1056, 300}, Sizes{96, 1536, 16}}) {
    const io::QuantisedTensor weight = weight_of(out, in, io::GgmlType::Q4_0);
    const Tensor x = bf16_tensor({rows, in}, 2);
    const Tensor bias = bf16_tensor({out}, 3);
    for (const Tensor& own_bias : {bias, Tensor()}) {
      const Tensor y = block_linear(x, weight, own_bias);
      EXPECT_EQ(y.scalar_type(), Dtype::BFloat16);
      EXPECT_LT(relative_error(y, expected(x, weight, own_bias)), kTolerance)
          << rows << " " << in << " " << out;
    }
  }
}

TEST_F(BlockLinear, TakesEveryTypeAndInputsThatAreNotDense) {
  const Tensor x = bf16_tensor({768, 40}, 2).t();
  for (const io::GgmlType type : {io::GgmlType::Q4_1, io::GgmlType::Q5_0, io::GgmlType::Q5_1,
                                  io::GgmlType::Q8_0, io::GgmlType::Q4_K, io::GgmlType::Q6_K}) {
    const io::QuantisedTensor weight = weight_of(70, 768, type);
    EXPECT_LT(relative_error(block_linear(x, weight, {}), expected(x, weight, {})), kTolerance)
        << io::ggml_type_name(type);
  }
}

TEST_F(BlockLinear, DoesNotDependOnThreads) {
  const io::QuantisedTensor weight = weight_of(600, 1024, io::GgmlType::Q8_0);
  const Tensor x = bf16_tensor({70, 1024}, 2);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor alone = block_linear(x, weight, {});
  at::set_num_threads(2);
  const Tensor shared = block_linear(x, weight, {});
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(alone, shared));
}

TEST(HasBlockLinear, RefusesOtherDtypesAndRowsThatShareBlocks) {
  const io::QuantisedTensor weight = weight_of(2, 64, io::GgmlType::Q8_0);
  EXPECT_FALSE(has_block_linear(random_tensor({3, 64}, 1).cpu(), weight));
  const io::QuantisedTensor shared = weight_of(4, 48, io::GgmlType::Q8_0);
  EXPECT_FALSE(has_block_linear(bf16_tensor({3, 48}, 1), shared));
}

}  // namespace
}  // namespace sdrbee::nn::cpu
