#include "sdrbee/nn/cpu/packed_weights.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>

#include "sdrbee/nn/conv2d.h"
#include "sdrbee/nn/layout.h"
#include "sdrbee/nn/linear.h"
#include "support/memory_weights.h"

namespace sdrbee::nn {
namespace {

using test::MemoryWeights;
using test::random_tensor;
using test::relative_error;

class Packed : public testing::TestWithParam<Dtype> {
 protected:
  // fp32: some roundings; bf16: one rounding of the result, 2^-9, and one of the intermediate.
  double tolerance() const { return GetParam() == Dtype::Float ? 1e-6 : 5e-3; }
  Tensor make(at::IntArrayRef shape, uint64_t seed) const {
    return random_tensor(shape, seed).to(GetParam());
  }
};

Tensor wide(const Tensor& x) { return x.to(Dtype::Double); }

TEST_P(Packed, ConvolutionsEqualAten) {
  struct Case {
    int64_t in, out, size, kernel, stride, padding;
  };
  for (const Case& c : {Case{4, 32, 9, 3, 1, 1}, Case{32, 4, 8, 3, 1, 1}, Case{64, 96, 7, 3, 2, 1},
                        Case{33, 17, 5, 1, 1, 0}, Case{32, 32, 9, 3, 2, 0}}) {
    const Tensor w = make({c.out, c.in, c.kernel, c.kernel}, 1), b = make({c.out}, 2);
    const Tensor x = make({2, c.in, c.size, c.size}, 3);
    const MemoryWeights weights({{"weight", w}, {"bias", b}});
    const Conv2d conv(weights.scope(GetParam()), c.in, c.out, c.kernel,
                      {.stride = c.stride, .padding = c.padding});
    const Tensor expected = at::conv2d(wide(x), wide(w), wide(b), c.stride, c.padding);
    EXPECT_LT(relative_error(conv(x), expected), tolerance()) << c.in << " " << c.out;
    const Tensor residual = make(expected.sizes(), 4);
    EXPECT_LT(relative_error(conv.add(x, residual), expected + wide(residual)), tolerance());
    EXPECT_TRUE(conv(x).is_contiguous(at::MemoryFormat::ChannelsLast));
  }
}

TEST_P(Packed, ConvolutionTakesAnotherWeight) {
  const Tensor first = make({32, 16, 3, 3}, 1), second = make({32, 16, 3, 3}, 2);
  const Tensor x = make({1, 16, 6, 6}, 3);
  const MemoryWeights weights({{"weight", first}});
  Conv2d conv(weights.scope(GetParam()), 16, 32, 3, {.padding = 1, .bias = false});
  conv.replace_weight(second);
  EXPECT_LT(relative_error(conv(x), at::conv2d(wide(x), wide(second), {}, 1, 1)), tolerance());
}

TEST_P(Packed, MatricesEqualAten) {
  for (const auto& [in, out] : {std::pair<int64_t, int64_t>{64, 96}, {33, 17}, {5, 3}}) {
    const Tensor w = make({out, in}, 1), b = make({out}, 2);
    const Tensor x = make({2, 11, in}, 3), other = make({2, 11, out}, 4);
    const MemoryWeights weights({{"weight", w}, {"bias", b}});
    const Linear linear(weights.scope(GetParam()), in, out);
    const Tensor expected = at::linear(wide(x), wide(w), wide(b));
    EXPECT_LT(relative_error(linear(x), expected), tolerance());
    EXPECT_LT(relative_error(linear.add(x, other), expected + wide(other)), tolerance());
    EXPECT_LT(relative_error(linear.multiplied(x, other), expected * wide(other)), tolerance());
    EXPECT_LT(relative_error(linear.activated(x, Activation::Silu), at::silu(expected)),
              tolerance());
    EXPECT_LT(relative_error(linear.activated(x, Activation::Gelu), at::gelu(expected)),
              tolerance());
    EXPECT_LT(relative_error(linear.activated(x, Activation::GeluTanh), at::gelu(expected, "tanh")),
              tolerance());
  }
}

TEST_P(Packed, MatrixTakesTransposedAndSlicedInput) {
  const Tensor w = make({48, 40}, 1);
  const MemoryWeights weights({{"weight", w}});
  const Linear linear(weights.scope(GetParam()), 40, 48, /*bias=*/false);
  const Tensor transposed = make({2, 40, 9}, 2).transpose(1, 2);
  const Tensor sliced = make({2, 9, 80}, 3).narrow(2, 20, 40);
  const Tensor residual = make({2, 48, 9}, 4).transpose(1, 2);
  EXPECT_LT(relative_error(linear(transposed), at::linear(wide(transposed), wide(w))), tolerance());
  EXPECT_LT(relative_error(linear.add(sliced, residual),
                           at::linear(wide(sliced), wide(w)) + wide(residual)),
            tolerance());
}

TEST_P(Packed, GegluTakesAnotherWeight) {
  const Tensor first = make({64, 16}, 1), second = make({64, 16}, 2), b = make({64}, 3);
  const Tensor x = make({2, 5, 16}, 4);
  const MemoryWeights weights({{"proj.weight", first}, {"proj.bias", b}});
  Geglu geglu(weights.scope(GetParam()), 16, 32);
  geglu.replace_weight(second);
  const Tensor both = at::linear(wide(x), wide(second), wide(b));
  const Tensor expected = both.narrow(2, 0, 32) * at::gelu(both.narrow(2, 32, 32));
  EXPECT_LT(relative_error(geglu(x), expected), tolerance());
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Packed, testing::Values(Dtype::Float, Dtype::BFloat16));

}  // namespace
}  // namespace sdrbee::nn
