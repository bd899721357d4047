#include "sdrbee/control/controlnet.h"

#include <ATen/ops/cat.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::control {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

Unet2DInputs inputs_of(const Golden& golden) {
  Unet2DInputs inputs{.context = golden.input("context")};
  if (golden.config().has("addition_embed_type")) {
    inputs.text_embeds = golden.input("text_embeds");
    inputs.time_ids = golden.input("time_ids");
  }
  return inputs;
}

ControlResiduals residuals_of(const Golden& golden, Dtype dtype, bool guess_mode) {
  const ControlNet net(golden.weights(dtype), ControlNetConfig::from(golden.config()));
  golden.check_all_weights_taken();
  return net(golden.input("latents"), golden.input("timesteps"), inputs_of(golden),
             {.image = golden.input("image"), .strengths = {}, .guess_mode = guess_mode});
}

void expect_near(const ControlResiduals& residuals, const Golden& golden, const std::string& prefix,
                 double tolerance) {
  for (size_t i = 0; i < residuals.skips.size(); ++i)
    EXPECT_LT(relative_error(residuals.skips[i], golden.output(message(prefix, i))), tolerance)
        << i;
  EXPECT_LT(relative_error(residuals.middle, golden.output(prefix + "middle")), tolerance);
}

class GoldenControlNet : public testing::TestWithParam<const char*> {};

// make_networks.py, make_controlnet: ControlNetModel at timesteps 999 and 12.5.
TEST_P(GoldenControlNet, EqualsDiffusers) {
  const Golden golden(GetParam());
  const ControlResiduals residuals = residuals_of(golden, Dtype::Float, /*guess_mode=*/false);
  EXPECT_THROW(golden.output(std::to_string(residuals.skips.size())), CheckpointError);
  expect_near(residuals, golden, "", kFp32);
}

TEST_P(GoldenControlNet, WeakensHighResolutionsInGuessModeAsDiffusersDoes) {
  const Golden golden(GetParam());
  expect_near(residuals_of(golden, Dtype::Float, /*guess_mode=*/true), golden, "guessed_", kFp32);
}

TEST_P(GoldenControlNet, StaysCloseInBf16) {
  const Golden golden(GetParam());
  expect_near(residuals_of(golden, Dtype::BFloat16, /*guess_mode=*/false), golden, "", kBf16);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenControlNet,
                         testing::Values("controlnet_sd", "controlnet_sdxl"));

TEST(ControlNetConfig, NamesWhatNothingHereComputes) {
  EXPECT_THROW(ControlNetConfig::from(io::Json{{"conditioning_channels", 4}}), CheckpointError);
  EXPECT_THROW(ControlNetConfig::from(io::Json{{"controlnet_conditioning_channel_order", "gbr"}}),
               CheckpointError);
  EXPECT_THROW(ControlNetConfig::from(io::Json{{"conditioning_embedding_out_channels", {0}}}),
               CheckpointError);
}

TEST(ControlNetConfig, FitsBesideAUnetOfEqualWidthsAndTextOnly) {
  const Unet2DConditionConfig unet = Unet2DConditionConfig::from(io::Json::object());
  ControlNetConfig control = ControlNetConfig::from(io::Json::object());
  EXPECT_NO_THROW(check_fit(control, unet, "net"));
  control.unet.down_blocks[0].cross_attention_dim = 768;
  EXPECT_THROW(check_fit(control, unet, "net"), InvalidRequest);
  control = ControlNetConfig::from(io::Json{{"layers_per_block", 1}});
  EXPECT_THROW(check_fit(control, unet, "net"), InvalidRequest);
}

}  // namespace
}  // namespace sdrbee::control
