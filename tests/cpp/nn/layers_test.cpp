#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sdrbee/core/error.h"
#include "sdrbee/nn/attention.h"
#include "sdrbee/nn/layout.h"
#include "sdrbee/nn/modulation.h"
#include "sdrbee/nn/resnet_block.h"
#include "sdrbee/nn/timestep.h"
#include "support/memory_weights.h"

namespace sdrbee::nn {
namespace {

using test::MemoryWeights;
using test::random_tensor;
using test::relative_error;

constexpr double kFp32 = 1e-6;  // some roundings of fp32

TEST(Linear, MultipliesAndAdds) {
  const Tensor w = random_tensor({3, 4}, 1);
  const Tensor b = random_tensor({3}, 2);
  const Tensor x = random_tensor({2, 5, 4}, 3);
  const Tensor residual = random_tensor({2, 5, 3}, 4);
  const MemoryWeights weights({{"fc.weight", w}, {"fc.bias", b}});
  const Linear linear(weights.scope() / "fc", 4, 3);
  const Tensor expected = at::matmul(x, w.t()).add(b);
  EXPECT_LT(relative_error(linear(x), expected), kFp32);
  EXPECT_LT(relative_error(linear.add(x, residual), expected.add(residual)), kFp32);
  EXPECT_LT(relative_error(linear.activated(x, Activation::Gelu), at::gelu(expected)), kFp32);
}

TEST(Linear, TakesAConvolutionOfOnePixelAsAMatrix) {
  const Tensor w = random_tensor({3, 4, 1, 1}, 1);
  const MemoryWeights weights({{"weight", w}});
  const Tensor x = random_tensor({2, 4}, 3);
  const Linear linear(weights.scope(), 4, 3, /*bias=*/false);
  EXPECT_LT(relative_error(linear(x), at::matmul(x, w.view({3, 4}).t())), kFp32);
}

TEST(Linear, NamesKeyAndShapesOfAWrongWeight) {
  const MemoryWeights weights({{"fc.weight", random_tensor({3, 5}, 1)}});
  try {
    Linear(weights.scope() / "fc", 4, 3);
    FAIL() << "expected a CheckpointError";
  } catch (const CheckpointError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("fc.weight"), std::string::npos) << text;
    EXPECT_NE(text.find("[3, 4]"), std::string::npos) << text;
    EXPECT_NE(text.find("[3, 5]"), std::string::npos) << text;
  }
}

TEST(Geglu, GatesTheFirstHalfByTheSecond) {
  const Tensor w = random_tensor({6, 4}, 1);
  const Tensor b = random_tensor({6}, 2);
  const Tensor x = random_tensor({2, 4}, 3);
  const MemoryWeights weights({{"proj.weight", w}, {"proj.bias", b}});
  const Tensor both = at::matmul(x, w.t()).add(b);
  const Tensor expected = both.narrow(1, 0, 3).mul(at::gelu(both.narrow(1, 3, 3)));
  EXPECT_LT(relative_error(Geglu(weights.scope(), 4, 3)(x), expected), kFp32);
}

TEST(Activation, QuickGeluIsXTimesSigmoid) {
  const Tensor x = random_tensor({9}, 1);
  const Tensor expected = x.mul(at::sigmoid(x.mul(1.702)));
  EXPECT_LT(relative_error(activate(Activation::QuickGelu, x), expected), kFp32);
  EXPECT_LT(relative_error(activate(Activation::QuickGelu, x.clone()), expected), kFp32);
}

TEST(Activation, IsFoundByItsNameInConfigs) {
  EXPECT_EQ(find_activation("swish"), Activation::Silu);
  EXPECT_EQ(find_activation("gelu"), Activation::Gelu);
  EXPECT_EQ(find_activation("quick_gelu"), Activation::QuickGelu);
  EXPECT_EQ(find_activation("gelu_pytorch_tanh"), Activation::GeluTanh);
  EXPECT_EQ(find_activation("mish"), std::nullopt);
}

TEST(Conv2d, ConvolvesAndAddsWithChannelsLast) {
  const Tensor w = random_tensor({3, 4, 3, 3}, 1);
  const Tensor b = random_tensor({3}, 2);
  const Tensor x = random_tensor({2, 4, 5, 6}, 3);
  const Tensor residual = random_tensor({2, 3, 5, 6}, 4);
  const MemoryWeights weights({{"weight", w}, {"bias", b}});
  const Conv2d conv(weights.scope(), 4, 3, 3, {.padding = 1});
  const Tensor expected = at::conv2d(x, w, b, 1, 1);
  EXPECT_LT(relative_error(conv(x), expected), kFp32);
  EXPECT_LT(relative_error(conv.add(x, residual), expected.add(residual)), kFp32);
  EXPECT_TRUE(conv(x).is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(GroupNorm, FusedFormsEqualTheirParts) {
  const Tensor w = random_tensor({4}, 1);
  const Tensor b = random_tensor({4}, 2);
  const Tensor x = random_tensor({2, 4, 3, 5}, 3);
  const Tensor shift = random_tensor({2, 4}, 4);
  const MemoryWeights weights({{"weight", w}, {"bias", b}});
  const GroupNorm norm(weights.scope(), 2, 4, 1e-5);
  EXPECT_LT(relative_error(norm(x), at::group_norm(x, 2, w, b, 1e-5)), kFp32);
  EXPECT_LT(relative_error(norm.silu(x), at::silu(at::group_norm(x, 2, w, b, 1e-5))), kFp32);
  const Tensor shifted = x.add(shift.view({2, 4, 1, 1}));
  EXPECT_LT(relative_error(norm.silu(x, shift), at::silu(at::group_norm(shifted, 2, w, b, 1e-5))),
            kFp32);
}

TEST(GroupNorm, RejectsGroupsThatDoNotDivideTheChannels) {
  const MemoryWeights weights({{"weight", random_tensor({4}, 1)}, {"bias", random_tensor({4}, 2)}});
  EXPECT_THROW(GroupNorm(weights.scope(), 3, 4, 1e-5), UnsupportedModel);
}

TEST(RmsNorm, DividesByTheRootMeanSquare) {
  const Tensor w = random_tensor({6}, 1);
  const Tensor x = random_tensor({2, 3, 6}, 2);
  const MemoryWeights weights({{"weight", w}});
  const RmsNorm norm(weights.scope(), 6, 1e-6);
  const Tensor expected = x.mul(x.pow(2).mean(-1, true).add(1e-6).rsqrt()).mul(w);
  EXPECT_LT(relative_error(norm(x), expected), kFp32);
}

TEST(Modulation, CutsItsOutputInParts) {
  const Tensor w = random_tensor({9, 3}, 1);
  const Tensor b = random_tensor({9}, 2);
  const Tensor x = random_tensor({2, 3}, 3);
  const MemoryWeights weights({{"linear.weight", w}, {"linear.bias", b}});
  const std::vector<Tensor> parts = Modulation(weights.scope(), 3, 3)(x);
  ASSERT_EQ(parts.size(), 3U);
  const Tensor expected = at::matmul(x, w.t()).add(b).narrow(1, 3, 3).unsqueeze(1);
  EXPECT_LT(relative_error(parts[1], expected), kFp32);
}

TEST(ModulatedNorm, ScalesAndShiftsEachRowOfTheBatch) {
  const Tensor x = random_tensor({2, 4, 6}, 1);
  const Tensor scale = random_tensor({2, 1, 6}, 2);
  const Tensor shift = random_tensor({2, 1, 6}, 3);
  const Tensor centred = x.sub(x.mean(-1, true));
  const Tensor expected =
      centred.mul(centred.pow(2).mean(-1, true).add(1e-6).rsqrt()).mul(scale.add(1)).add(shift);
  EXPECT_LT(relative_error(modulated_norm(x, {.scale = scale, .shift = shift}), expected), kFp32);
}

Tensor attention_by_hand(const Tensor& q, const Tensor& k, const Tensor& v, double scale,
                         const Tensor& mask) {
  return at::matmul(at::matmul(q, k.transpose(1, 2)).mul(scale).add(mask).softmax(-1), v);
}

TEST(Attention, EqualsSoftmaxOfScoresPerHead) {
  const Tensor q = random_tensor({2, 5, 8}, 1);
  const Tensor k = random_tensor({2, 7, 8}, 2);
  const Tensor v = random_tensor({2, 7, 8}, 3);
  const Tensor mask = random_tensor({5, 7}, 4);
  std::vector<Tensor> heads;
  for (int64_t i = 0; i < 2; ++i)
    heads.push_back(attention_by_hand(q.narrow(2, i * 4, 4), k.narrow(2, i * 4, 4),
                                      v.narrow(2, i * 4, 4), 0.3, mask));
  const AttentionOptions options{.scale = 0.3, .mask = mask};
  EXPECT_LT(relative_error(attention(q, k, v, 2, options), at::cat(heads, 2)), kFp32);
}

TEST(Attention, CausalTokensSeeNothingLater) {
  const Tensor q = random_tensor({1, 5, 4}, 1);
  const Tensor k = random_tensor({1, 5, 4}, 2);
  const Tensor v = random_tensor({1, 5, 4}, 3);
  const Tensor mask = at::zeros({5, 5}, q.options())
                          .masked_fill(at::zeros({5, 5}, q.options()).add(1).triu(1).to(at::kBool),
                                       -std::numeric_limits<double>::infinity());
  EXPECT_LT(relative_error(attention(q, k, v, 1, {.causal = true}),
                           attention_by_hand(q, k, v, 0.5, mask)),
            kFp32);
}

TEST(Layout, TokensOfAPictureAreTheSameMemory) {
  const Tensor x = channels_last(random_tensor({2, 3, 4, 5}, 1));
  const Tensor tokens = picture_to_tokens(x);
  EXPECT_EQ(tokens.const_data_ptr(), x.const_data_ptr());
  EXPECT_TRUE(at::equal(tokens.select(1, 7), x.select(3, 2).select(2, 1)));
  const Tensor back = tokens_to_picture(tokens, 4, 5);
  EXPECT_TRUE(at::equal(back, x));
  EXPECT_TRUE(back.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(Downsample, PadsWhereItIsTold) {
  const Tensor w = random_tensor({3, 3, 3, 3}, 1);
  const Tensor b = random_tensor({3}, 2);
  const Tensor x = random_tensor({1, 3, 6, 8}, 3);
  const MemoryWeights weights({{"conv.weight", w}, {"conv.bias", b}});
  const Tensor padded = at::cat(
      {at::cat({x, at::zeros({1, 3, 6, 1}, x.options())}, 3), at::zeros({1, 3, 1, 9}, x.options())},
      2);
  const Downsample sides(weights.scope(), 3, DownsamplePadding::AllSides);
  const Downsample right(weights.scope(), 3, DownsamplePadding::RightAndBottom);
  EXPECT_LT(relative_error(sides(x), at::conv2d(x, w, b, 2, 1)), kFp32);
  EXPECT_LT(relative_error(right(x), at::conv2d(padded, w, b, /*stride=*/2)), kFp32);
}

TEST(Upsample, GoesToTwiceTheSizeOrTheSizeAskedFor) {
  const Tensor x = random_tensor({1, 2, 3, 4}, 3);
  const MemoryWeights weights(
      {{"conv.weight", random_tensor({2, 2, 3, 3}, 1)}, {"conv.bias", random_tensor({2}, 2)}});
  const Upsample upsample(weights.scope(), 2);
  EXPECT_EQ(upsample(x).sizes(), (std::vector<int64_t>{1, 2, 6, 8}));
  EXPECT_EQ(upsample(x, LatentSize{.width = 7, .height = 5}).sizes(),
            (std::vector<int64_t>{1, 2, 5, 7}));
}

// get_timestep_embedding(torch.tensor([0., 999., 12.5]), 6, flip_sin_to_cos=True,
//                        downscale_freq_shift=0)
TEST(SinusoidalEmbedding, EqualsDiffusers) {
  const Tensor expected =
      at::tensor({1.0F, 1.0F, 1.0F, 0.0F, 0.0F, 0.0F,                                   //
                  0.999650F, -0.728673F, -0.549265F, -0.026461F, 0.684861F, 0.835648F,  //
                  0.997798F, 0.836354F, 0.999637F, -0.066322F, 0.548190F, 0.026927F})
          .view({3, 6});
  const Tensor values = at::tensor({0.0, 999.0, 12.5}).to(test::test_device());
  EXPECT_LT(test::largest_difference(sinusoidal_embedding(values, 6, {}), expected), 2e-5);
}

// get_timestep_embedding(torch.tensor([999.]), 7, flip_sin_to_cos=False, downscale_freq_shift=1)
TEST(SinusoidalEmbedding, PadsAnOddWidthWithAZero) {
  const Tensor expected =
      at::tensor({-0.026461F, -0.535603F, 0.099734F, 0.999650F, -0.844470F, 0.995014F, 0.0F})
          .view({1, 7});
  const Tensor values = at::tensor({999.0}).to(test::test_device());
  const SinusoidalOptions options{.flip_sin_to_cos = false, .freq_shift = 1.0};
  EXPECT_LT(test::largest_difference(sinusoidal_embedding(values, 7, options), expected), 2e-5);
}

}  // namespace
}  // namespace sdrbee::nn
