#include "sdrbee/text/clip_encoder.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::text {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

ClipTextEncoder encoder_of(const Golden& golden, Dtype dtype = Dtype::Float) {
  return ClipTextEncoder(golden.weights(dtype), ClipTextConfig::from(golden.config()));
}

// make_networks.py, make_clip: CLIPTextModel, quick_gelu, legacy end of text.
TEST(ClipTextEncoder, EqualsTransformers) {
  const Golden golden("clip_text");
  const ClipTextOutput output = encoder_of(golden)(golden.input("ids"));
  golden.check_all_weights_taken();
  ASSERT_EQ(output.hidden_states.size(), 6U);
  for (size_t i = 0; i < output.hidden_states.size(); ++i)
    EXPECT_LT(relative_error(output.hidden_states[i], golden.output("hidden_" + std::to_string(i))),
              kFp32);
  EXPECT_LT(relative_error(output.last_hidden_state, golden.output("last")), kFp32);
  EXPECT_LT(relative_error(output.pooled, golden.output("pooled")), kFp32);
  EXPECT_FALSE(output.text_embeds.has_value());
}

// make_networks.py, make_clip: CLIPTextModelWithProjection, gelu, end of text by its id.
TEST(ClipTextEncoder, EqualsTransformersWithProjection) {
  const Golden golden("clip_text_projected");
  const ClipTextOutput output = encoder_of(golden)(golden.input("ids"));
  golden.check_all_weights_taken();
  EXPECT_LT(relative_error(output.last_hidden_state, golden.output("last")), kFp32);
  ASSERT_TRUE(output.text_embeds.has_value());
  EXPECT_LT(relative_error(*output.text_embeds, golden.output("text_embeds")), kFp32);
}

TEST(ClipTextEncoder, StaysCloseInBf16) {
  const Golden golden("clip_text");
  const ClipTextOutput output = encoder_of(golden, Dtype::BFloat16)(golden.input("ids"));
  EXPECT_EQ(output.last_hidden_state.scalar_type(), Dtype::BFloat16);
  EXPECT_LT(relative_error(output.last_hidden_state, golden.output("last")), kBf16);
}

TEST(ClipTextEncoder, SkipsLayersAsDiffusersCounts) {
  const Golden golden("clip_text");
  const ClipTextEncoder encoder = encoder_of(golden);
  const ClipTextOutput output = encoder(golden.input("ids"));
  EXPECT_LT(relative_error(encoder.skip_layers(output, 0), golden.output("last")), kFp32);
  EXPECT_LT(relative_error(encoder.skip_layers(output, 2), golden.output("skip_2")), kFp32);
  EXPECT_THROW(encoder.skip_layers(output, 6), InternalError);
  EXPECT_THROW(encoder.skip_layers(output, -1), InternalError);
}

TEST(ClipTextEncoder, RefusesIdsOutsideOfItsVocabulary) {
  const Golden golden("clip_text");
  const ClipTextEncoder encoder = encoder_of(golden);
  EXPECT_THROW(encoder(at::tensor({0, 100}, at::kLong).view({1, 2})), CheckpointError);
  EXPECT_THROW(encoder(at::tensor({-1, 1}, at::kLong).view({1, 2})), CheckpointError);
}

TEST(ClipTextConfig, NamesAnActivationThatItDoesNotKnow) {
  try {
    ClipTextConfig::from(io::Config(io::Json{{"hidden_act", "mish"}}, "text_encoder/config.json"));
    FAIL() << "expected UnsupportedModel";
  } catch (const UnsupportedModel& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("hidden_act"), std::string::npos) << text;
    EXPECT_NE(text.find("mish"), std::string::npos) << text;
  }
}

TEST(ClipTextConfig, RejectsHeadsThatDoNotDivideTheWidth) {
  EXPECT_THROW(ClipTextConfig::from(io::Json{{"num_attention_heads", 7}}), CheckpointError);
  EXPECT_THROW(ClipTextConfig::from(io::Json{{"hidden_size", 0}}), CheckpointError);
}

}  // namespace
}  // namespace sdrbee::text
