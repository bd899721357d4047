#include "sdrbee/models/flux2/transformer.h"

#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "sdrbee/models/flux2/flux2.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::flux2 {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

Tensor predict(const Golden& golden, Dtype dtype = Dtype::Float) {
  const Transformer transformer(golden.weights(dtype), TransformerConfig::from(golden.config()));
  golden.check_all_weights_taken();
  return transformer({.tokens = golden.input("tokens"),
                      .positions = golden.input("positions"),
                      .timesteps = golden.input("timesteps"),
                      .context = golden.input("context")});
}

// make_flux2.py: Flux2Transformer2DModel at timesteps 1 and 0.256.
TEST(Flux2Transformer, EqualsDiffusers) {
  const Golden golden("flux2");
  EXPECT_LT(relative_error(predict(golden), golden.output("prediction")), kFp32);
}

TEST(Flux2Transformer, StaysCloseInBf16) {
  const Golden golden("flux2");
  const Tensor prediction = predict(golden, Dtype::BFloat16);
  EXPECT_EQ(prediction.scalar_type(), Dtype::BFloat16);
  EXPECT_LT(relative_error(prediction, golden.output("prediction")), kBf16);
}

TEST(Flux2TransformerConfig, RefusesDev) {
  EXPECT_THROW(TransformerConfig::from(io::Json::object()), UnsupportedModel);
  const auto with = [](const char* key, const io::Json& value) {
    return io::Json{{"guidance_embeds", false}, {key, value}};
  };
  EXPECT_EQ(TransformerConfig::from(with("in_channels", 64)).out_channels, 64);
  EXPECT_THROW(TransformerConfig::from(with("patch_size", 2)), UnsupportedModel);
  EXPECT_THROW(TransformerConfig::from(with("num_layers", 0)), CheckpointError);
  EXPECT_THROW(TransformerConfig::from(with("axes_dims_rope", {32, 32, 64})), CheckpointError);
}

// diffusers' compute_empirical_mu
TEST(Flux2, ShiftsByTokensAndSteps) {
  EXPECT_NEAR(fitted_shift(4096, 50), 2.0233511571292637, 1e-9);
  EXPECT_NEAR(fitted_shift(4096, 4), 2.291179894115571, 1e-9);
  EXPECT_NEAR(fitted_shift(5000, 4), 0.00016927 * 5000 + 0.45666666, 1e-9);
}

}  // namespace
}  // namespace sdrbee::flux2
