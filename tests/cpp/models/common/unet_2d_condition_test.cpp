#include "sdrbee/models/common/unet_2d_condition.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

Unet2DCondition unet_of(const Golden& golden, Dtype dtype = Dtype::Float) {
  return Unet2DCondition(golden.weights(dtype), Unet2DConditionConfig::from(golden.config()));
}

Unet2DInputs inputs_of(const Golden& golden) {
  Unet2DInputs inputs{.context = golden.input("context")};
  if (golden.config().has("addition_embed_type")) {
    inputs.text_embeds = golden.input("text_embeds");
    inputs.time_ids = golden.input("time_ids");
  }
  if (golden.config().has("time_cond_proj_dim")) inputs.guidance = golden.input("guidance");
  return inputs;
}

class GoldenUnet : public testing::TestWithParam<const char*> {};

// make_networks.py, make_unet: UNet2DConditionModel at timesteps 999 and 12.5.
TEST_P(GoldenUnet, EqualsDiffusers) {
  const Golden golden(GetParam());
  const Unet2DCondition unet = unet_of(golden);
  golden.check_all_weights_taken();
  const Tensor prediction =
      unet(golden.input("latents"), golden.input("timesteps"), inputs_of(golden));
  EXPECT_LT(relative_error(prediction, golden.output("prediction")), kFp32);
}

TEST_P(GoldenUnet, StaysCloseInBf16) {
  const Golden golden(GetParam());
  const Unet2DCondition unet = unet_of(golden, Dtype::BFloat16);
  const Tensor prediction =
      unet(golden.input("latents"), golden.input("timesteps"), inputs_of(golden));
  EXPECT_EQ(prediction.scalar_type(), Dtype::BFloat16);
  EXPECT_LT(relative_error(prediction, golden.output("prediction")), kBf16);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenUnet,
                         testing::Values("unet_sd", "unet_sd2", "unet_sdxl", "unet_rare"));

TEST(Unet2DCondition, ComputesEachRowOfABatchByItself) {
  const Golden golden("unet_sd");
  const Unet2DCondition unet = unet_of(golden);
  const Tensor latents = golden.input("latents");
  const Tensor timesteps = golden.input("timesteps");
  const Tensor context = golden.input("context");
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < 2; ++i)
    rows.push_back(unet(latents.narrow(0, i, 1), timesteps.narrow(0, i, 1),
                        {.context = context.narrow(0, i, 1)}));
  EXPECT_LT(relative_error(at::cat(rows), golden.output("prediction")), kFp32);
}

void expect_unsupported(io::Json json, const std::string& key) {
  try {
    Unet2DConditionConfig::from(io::Config(json, "unet/config.json"));
    FAIL() << "expected UnsupportedModel for " << key;
  } catch (const UnsupportedModel& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("'" + key + "'"), std::string::npos) << text;
    EXPECT_NE(text.find(json[key].dump()), std::string::npos) << text;
    EXPECT_NE(text.find("unet/config.json"), std::string::npos) << text;
  }
}

TEST(Unet2DConditionConfig, NamesOptionsThatNothingHereComputes) {
  expect_unsupported({{"class_embed_type", "timestep"}}, "class_embed_type");
  expect_unsupported({{"addition_embed_type", "image"}}, "addition_embed_type");
  expect_unsupported({{"encoder_hid_dim_type", "text_proj"}}, "encoder_hid_dim_type");
  expect_unsupported({{"resnet_time_scale_shift", "scale_shift"}}, "resnet_time_scale_shift");
  expect_unsupported({{"mid_block_type", "UNetMidBlock2DSimpleCrossAttn"}}, "mid_block_type");
  expect_unsupported({{"act_fn", "gelu"}}, "act_fn");
  expect_unsupported({{"norm_num_groups", nullptr}}, "norm_num_groups");
  expect_unsupported({{"conv_in_kernel", 4}}, "conv_in_kernel");
  expect_unsupported({{"attention_head_dim", 7}}, "attention_head_dim");
  expect_unsupported(
      {{"down_block_types", {"DownBlock2D", "DownBlock2D", "KDownBlock2D", "DownBlock2D"}}},
      "down_block_types");
}

TEST(Unet2DConditionConfig, RejectsListsOfAnotherLength) {
  for (const char* key : {"layers_per_block", "attention_head_dim", "cross_attention_dim",
                          "transformer_layers_per_block"})
    EXPECT_THROW(Unet2DConditionConfig::from(io::Json{{key, {1, 2, 3}}}), CheckpointError) << key;
  EXPECT_THROW(Unet2DConditionConfig::from(io::Json{{"only_cross_attention", {true, false}}}),
               CheckpointError);
  EXPECT_THROW(Unet2DConditionConfig::from(io::Json{{"down_block_types", {"DownBlock2D"}}}),
               CheckpointError);
}

TEST(Unet2DConditionConfig, DefaultsAreThoseOfStableDiffusionOne) {
  const auto config = Unet2DConditionConfig::from(io::Json::object());
  ASSERT_EQ(config.down_blocks.size(), 4U);
  EXPECT_TRUE(config.down_blocks[0].has_attention());
  EXPECT_FALSE(config.down_blocks[3].has_attention());
  EXPECT_FALSE(config.up_blocks[0].has_attention());
  EXPECT_EQ(config.up_blocks[0].layers, 3);
  EXPECT_EQ(config.down_blocks[1].heads, 8);
  EXPECT_EQ(config.time_embedding_dim, 1280);
  EXPECT_EQ(config.downscale(), 8);
}

// pipe.get_guidance_scale_embedding(torch.tensor([7.5 - 1]), 6)
TEST(GuidanceEmbedding, EqualsDiffusers) {
  const Tensor expected =
      at::tensor({-0.044785F, 0.826829F, 0.605186F, -0.998997F, -0.562454F, 0.796084F})
          .view({1, 6});
  EXPECT_LT(test::largest_difference(
                guidance_embedding(at::tensor({7.5F}).to(test::test_device()), 6), expected),
            2e-3);  // the sine of 6500 in fp32
}

}  // namespace
}  // namespace sdrbee
