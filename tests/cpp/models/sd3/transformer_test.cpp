#include "sdrbee/models/sd3/transformer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::sd3 {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

Transformer transformer_of(const Golden& golden, Dtype dtype = Dtype::Float) {
  return Transformer(golden.weights(dtype), TransformerConfig::from(golden.config()));
}

TransformerInputs inputs_of(const Golden& golden) {
  return {.latents = golden.input("latents"),
          .timesteps = golden.input("timesteps"),
          .context = golden.input("context"),
          .pooled = golden.input("pooled")};
}

class GoldenSd3 : public testing::TestWithParam<const char*> {};

// make_sd3.py: SD3Transformer2DModel at timesteps 1000 and 12.5.
TEST_P(GoldenSd3, EqualsDiffusers) {
  const Golden golden(GetParam());
  const Transformer transformer = transformer_of(golden);
  golden.check_all_weights_taken();
  EXPECT_LT(relative_error(transformer(inputs_of(golden)), golden.output("prediction")), kFp32);
}

TEST_P(GoldenSd3, StaysCloseInBf16) {
  const Golden golden(GetParam());
  const Tensor prediction = transformer_of(golden, Dtype::BFloat16)(inputs_of(golden));
  EXPECT_EQ(prediction.scalar_type(), Dtype::BFloat16);
  EXPECT_LT(relative_error(prediction, golden.output("prediction")), kBf16);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenSd3,
                         testing::Values("sd3_medium", "sd3_5_medium", "sd3_5_large",
                                         "sd3_patches"));

// make_sd3.py: skip_layers=[1, 2]
TEST(Sd3Transformer, LeavesOutBlocksForSomeRows) {
  const Golden golden("sd3_5_medium");
  const Transformer transformer = transformer_of(golden);
  TransformerInputs inputs = inputs_of(golden);
  inputs.skipped = at::tensor({0, 0, 0, 0, 0, 1, 1, 0}).view({2, 4}).to(at::kBool);
  const Tensor prediction = transformer(inputs);
  EXPECT_LT(relative_error(prediction[0], golden.output("prediction")[0]), kFp32);
  EXPECT_LT(relative_error(prediction[1], golden.output("skipped")[1]), kFp32);
  inputs.skipped = at::tensor({0, 1, 1, 0, 0, 1, 1, 0}).view({2, 4}).to(at::kBool);
  EXPECT_LT(relative_error(transformer(inputs), golden.output("skipped")), kFp32);
  inputs.skipped = at::zeros({2, 4}, at::kBool);
  EXPECT_LT(relative_error(transformer(inputs), golden.output("prediction")), kFp32);
}

void expect_rejected(const io::Json& json, const std::string& key) {
  try {
    TransformerConfig::from(io::Config(json, "transformer/config.json"));
    FAIL() << "no error for " << key;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'" + key + "'"), std::string::npos) << error.what();
  }
}

TEST(Sd3TransformerConfig, NamesWhatItCannotRun) {
  expect_rejected({{"num_layers", 0}}, "num_layers");
  expect_rejected({{"caption_projection_dim", 7}}, "caption_projection_dim");
  expect_rejected({{"dual_attention_layers", {18}}}, "dual_attention_layers");
  expect_rejected({{"qk_norm", "layer_norm"}}, "qk_norm");
}

}  // namespace
}  // namespace sdrbee::sd3
