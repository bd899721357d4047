#include "sdrbee/lora/lora_dialect.h"

#include <gtest/gtest.h>

namespace sdrbee::lora {
namespace {

void expect_parts(const std::string& key, const std::string& module, Role role) {
  const auto parts = take_apart(key);
  ASSERT_TRUE(parts.has_value()) << key;
  EXPECT_EQ(parts->module, module) << key;
  EXPECT_EQ(parts->role, role) << key;
}

TEST(LoraDialect, ReadsKohya) {
  expect_parts("lora_unet_mid_block_to_q.lora_down.weight", "lora_unet_mid_block_to_q", Role::Down);
  expect_parts("lora_te1_x.lora_up.weight", "lora_te1_x", Role::Up);
  expect_parts("lora_te1_x.alpha", "lora_te1_x", Role::Alpha);
  expect_parts("lora_unet_x.dora_scale", "lora_unet_x", Role::DoraScale);
  expect_parts("lora_unet_x.lokr_w1_a", "lora_unet_x", Role::LokrW1A);
  expect_parts("lora_unet_x.diff_b", "lora_unet_x", Role::DiffBias);
}

TEST(LoraDialect, ReadsDiffusersBeforePeft) {
  expect_parts("unet.a.attn1.processor.to_q_lora.down.weight", "unet.a.attn1.to_q", Role::Down);
  expect_parts("text_encoder.a.fc1.lora_linear_layer.up.weight", "text_encoder.a.fc1", Role::Up);
  expect_parts("unet.a.ff.net.2.lora.up.weight", "unet.a.ff.net.2", Role::Up);
}

TEST(LoraDialect, ReadsPeftWithAndWithoutTheNameOfAnAdapter) {
  expect_parts("unet.a.to_q.lora_A.weight", "unet.a.to_q", Role::Down);
  expect_parts("base_model.model.a.to_q.lora_B.default.weight", "a.to_q", Role::Up);
  expect_parts("a.to_q.lora_B.style.bias", "a.to_q", Role::UpBias);
  expect_parts("a.to_q.lora_B.bias", "a.to_q", Role::UpBias);
  expect_parts("a.to_q.lora_magnitude_vector", "a.to_q", Role::Magnitude);
  expect_parts("a.to_q.lora_magnitude_vector.default.weight", "a.to_q", Role::Magnitude);
  expect_parts("a.to_q.lora_magnitude_vector.default", "a.to_q", Role::Magnitude);
}

TEST(LoraDialect, ReadsWhatOnlyFluxHas) {
  expect_parts("double_blocks.0.processor.qkv_lora1.down.weight", "double_blocks.0.qkv1",
               Role::Down);
  expect_parts("double_blocks.0.processor.proj_lora2.up.weight", "double_blocks.0.proj2", Role::Up);
  expect_parts("single_blocks.7.processor.qkv_lora.up.weight", "single_blocks.7.qkv", Role::Up);
  expect_parts("single_blocks.7.norm.key_norm.scale", "single_blocks.7.norm.key_norm", Role::Value);
  expect_parts("transformer.a.attn.norm_q.weight", "transformer.a.attn.norm_q", Role::Value);
}

TEST(LoraDialect, LeavesOtherKeys) {
  for (const char* key : {"emb_params", "conv.weight", ".lora_down.weight", "x.lora_A", ""})
    EXPECT_FALSE(take_apart(key)) << key;
}

}  // namespace
}  // namespace sdrbee::lora
