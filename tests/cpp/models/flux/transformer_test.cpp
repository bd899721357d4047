#include "sdrbee/models/flux/transformer.h"

#include <ATen/ops/cat.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::flux {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

Transformer transformer_of(const Golden& golden, Dtype dtype = Dtype::Float) {
  return Transformer(golden.weights(dtype), TransformerConfig::from(golden.config()));
}

/// The timesteps and guidance scales are those of this prefix.
TransformerInputs inputs_of(const Golden& golden, const std::string& prefix = "") {
  TransformerInputs inputs{.tokens = golden.input("tokens"),
                           .positions = golden.input("positions"),
                           .timesteps = golden.input(prefix + "timesteps"),
                           .context = golden.input("context"),
                           .pooled = golden.input("pooled")};
  if (golden.config().bool_or("guidance_embeds", false))
    inputs.guidance = golden.input(prefix + "guidance");
  return inputs;
}

class GoldenFlux : public testing::TestWithParam<const char*> {};

// make_flux.py: FluxTransformer2DModel at timesteps 1 and 0.256.
TEST_P(GoldenFlux, EqualsDiffusers) {
  const Golden golden(GetParam());
  const Transformer transformer = transformer_of(golden);
  golden.check_all_weights_taken();
  EXPECT_LT(relative_error(transformer(inputs_of(golden)), golden.output("prediction")), kFp32);
}

TEST_P(GoldenFlux, StaysCloseInBf16) {
  const Golden golden(GetParam());
  const Tensor prediction = transformer_of(golden, Dtype::BFloat16)(inputs_of(golden));
  EXPECT_EQ(prediction.scalar_type(), Dtype::BFloat16);
  EXPECT_LT(relative_error(prediction, golden.output("prediction")), kBf16);
}

// The network is told numbers in its own dtype: 283.7 is 284 in bf16, and 30000 is 29952.
TEST_P(GoldenFlux, RoundsTimestepAndGuidanceAsDiffusersDoes) {
  const Golden golden(GetParam());
  const TransformerInputs inputs = inputs_of(golden, "rough_");
  const Tensor prediction = transformer_of(golden, Dtype::BFloat16)(inputs);
  EXPECT_LT(relative_error(prediction, golden.output("rough")), kBf16);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenFlux,
                         testing::Values("flux_schnell", "flux_dev", "flux_fill", "flux_kontext"));

TEST(FluxTransformer, ComputesEachRowOfABatchByItself) {
  const Golden golden("flux_dev");
  const Transformer transformer = transformer_of(golden);
  const TransformerInputs both = inputs_of(golden);
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < 2; ++i)
    rows.push_back(transformer({.tokens = both.tokens.narrow(0, i, 1),
                                .positions = both.positions,
                                .timesteps = both.timesteps.narrow(0, i, 1),
                                .context = both.context.narrow(0, i, 1),
                                .pooled = both.pooled.narrow(0, i, 1),
                                .guidance = both.guidance.narrow(0, i, 1)}));
  EXPECT_LT(relative_error(at::cat(rows), golden.output("prediction")), kFp32);
}

TEST(FluxTransformerConfig, DefaultsAreThoseOfSchnell) {
  const auto config = TransformerConfig::from(io::Json::object());
  EXPECT_EQ(config.width(), 3072);
  EXPECT_EQ(config.out_channels, 64);
  EXPECT_FALSE(config.guidance_embeds);
}

TEST(FluxTransformerConfig, RejectsImpossibleValues) {
  EXPECT_THROW(TransformerConfig::from(io::Json{{"patch_size", 2}}), UnsupportedModel);
  EXPECT_THROW(TransformerConfig::from(io::Json{{"num_layers", -1}}), CheckpointError);
  EXPECT_THROW(TransformerConfig::from(io::Json{{"in_channels", 0}}), CheckpointError);
  for (const io::Json& axes : {io::Json{16, 56}, io::Json{16, 56, 54}, io::Json{15, 57, 56}})
    EXPECT_THROW(TransformerConfig::from(io::Json{{"axes_dims_rope", axes}}), CheckpointError);
}

}  // namespace
}  // namespace sdrbee::flux
