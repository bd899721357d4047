#include "sdrbee/lora/block_strengths.h"

#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "sdrbee/core/error.h"
#include "support/memory_weights.h"

namespace sdrbee::lora {
namespace {

/// 0, 1, 2, ...: a block's strength is its place in the list.
std::vector<double> places(size_t count) {
  std::vector<double> list(count);
  std::iota(list.begin(), list.end(), 0.0);
  return list;
}

class BlockStrengths : public ::testing::Test {
 protected:
  double strength(size_t count, const std::string& layer, const char* component = "unet") const {
    return block_strength(places(count), component, layer, weights_);
  }

  // Two residual blocks a level, as in all published models.
  const test::MemoryWeights weights_{{{"down_blocks.0.resnets.0.conv1.weight", at::ones({1})},
                                      {"down_blocks.0.resnets.1.conv1.weight", at::ones({1})}}};
};

// https://github.com/hako-mikan/sd-webui-lora-block-weight#readme
TEST_F(BlockStrengths, CountsAllBlocksOfStableDiffusion) {
  EXPECT_EQ(strength(26, "encoder.layers.0.fc1", "text_encoder"), 0);
  EXPECT_EQ(strength(26, "conv_in"), 1);
  EXPECT_EQ(strength(26, "down_blocks.0.attentions.0.proj_in"), 2);
  EXPECT_EQ(strength(26, "down_blocks.0.downsamplers.0.conv"), 4);
  EXPECT_EQ(strength(26, "down_blocks.3.resnets.1.conv1"), 12);
  EXPECT_EQ(strength(26, "mid_block.attentions.0.proj_in"), 13);
  EXPECT_EQ(strength(26, "up_blocks.0.resnets.0.conv1"), 14);
  EXPECT_EQ(strength(26, "up_blocks.0.upsamplers.0.conv"), 16);
  EXPECT_EQ(strength(26, "up_blocks.3.attentions.2.proj_out"), 25);
}

TEST_F(BlockStrengths, ShortListsHaveTheBlocksWithAttention) {
  EXPECT_EQ(strength(17, "down_blocks.0.attentions.0.proj_in"), 1);  // IN01
  EXPECT_EQ(strength(17, "down_blocks.1.attentions.0.proj_in"), 3);  // IN04
  EXPECT_EQ(strength(17, "down_blocks.2.attentions.1.proj_in"), 6);  // IN08
  EXPECT_EQ(strength(17, "mid_block.attentions.0.proj_in"), 7);
  EXPECT_EQ(strength(17, "up_blocks.1.attentions.0.proj_in"), 8);     // OUT03
  EXPECT_EQ(strength(17, "up_blocks.3.attentions.2.proj_in"), 16);    // OUT11
  EXPECT_EQ(strength(17, "down_blocks.0.downsamplers.0.conv"), 0.0);  // IN03 is left out
  EXPECT_EQ(strength(12, "down_blocks.1.attentions.0.proj_in"), 1);   // IN04
  EXPECT_EQ(strength(12, "up_blocks.1.attentions.2.proj_in"), 11);    // OUT05
  EXPECT_EQ(strength(20, "up_blocks.2.resnets.2.conv1"), 19);         // OUT08
}

TEST_F(BlockStrengths, CountsTheBlocksOfFlux) {
  const test::MemoryWeights flux({{"single_transformer_blocks.0.proj_mlp.weight", at::ones({1})}});
  const auto of = [&](const std::string& layer, const char* component = "transformer") {
    return block_strength(places(61), component, layer, flux);
  };
  EXPECT_EQ(of("encoder.layers.0.fc1", "text_encoder"), 0);
  EXPECT_EQ(of("encoder.block.0.layer.0.SelfAttention.q", "text_encoder_2"), 1);
  EXPECT_EQ(of("x_embedder"), 2);
  EXPECT_EQ(of("transformer_blocks.18.attn.to_q"), 21);
  EXPECT_EQ(of("single_transformer_blocks.0.proj_mlp"), 22);
  EXPECT_EQ(of("single_transformer_blocks.37.proj_out"), 59);
  EXPECT_EQ(of("norm_out.linear"), 60);
  EXPECT_EQ(of("proj_out"), 60);
}

TEST_F(BlockStrengths, RefusesListsOfOtherModels) {
  EXPECT_THROW(strength(61, "conv_in"), InvalidRequest);
  const test::MemoryWeights none;
  EXPECT_THROW(block_strength(places(26), "transformer", "proj_out", none), InvalidRequest);
}

TEST_F(BlockStrengths, OtherLayersKeepTheWholeStrength) {
  EXPECT_EQ(strength(26, "time_embedding.linear_1"), 1.0);
  EXPECT_EQ(block_strength({}, "unet", "conv_in", weights_), 1.0);
}

TEST_F(BlockStrengths, RefusesOtherLengthsAndNumbers) {
  EXPECT_NO_THROW(check_block_strengths("a", {}));
  EXPECT_NO_THROW(check_block_strengths("a", places(17)));
  EXPECT_THROW(check_block_strengths("a", places(5)), InvalidRequest);
  std::vector<double> list = places(12);
  list[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(check_block_strengths("a", list), InvalidRequest);
}

}  // namespace
}  // namespace sdrbee::lora
