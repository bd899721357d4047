#include "sdrbee/vae/autoencoder_kl.h"

#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::vae {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

AutoencoderKl autoencoder_of(const Golden& golden, Dtype dtype = Dtype::Float) {
  return AutoencoderKl(golden.weights(dtype), AutoencoderKlConfig::from(golden.config()));
}

class GoldenAutoencoder : public testing::TestWithParam<const char*> {};

// make_networks.py, make_vae: AutoencoderKL.encode, .latent_dist and .decode.
TEST_P(GoldenAutoencoder, EqualsDiffusers) {
  const Golden golden(GetParam());
  const AutoencoderKl autoencoder = autoencoder_of(golden);
  golden.check_all_weights_taken();
  const Posterior posterior = autoencoder.encode(golden.input("picture"));
  EXPECT_LT(relative_error(posterior.mean, golden.output("mean")), kFp32);
  EXPECT_LT(relative_error(posterior.logvar, golden.output("logvar")), kFp32);
  EXPECT_LT(relative_error(posterior.sample(golden.input("noise")), golden.output("sample")),
            kFp32);
  EXPECT_LT(relative_error(autoencoder.decode(golden.input("latents")), golden.output("picture")),
            kFp32);
}

TEST_P(GoldenAutoencoder, StaysCloseInBf16) {
  const Golden golden(GetParam());
  const AutoencoderKl autoencoder = autoencoder_of(golden, Dtype::BFloat16);
  const Tensor picture = autoencoder.decode(golden.input("latents"));
  EXPECT_EQ(picture.scalar_type(), Dtype::BFloat16);
  EXPECT_LT(relative_error(picture, golden.output("picture")), kBf16);
  EXPECT_LT(relative_error(autoencoder.encode(golden.input("picture")).mean, golden.output("mean")),
            kBf16);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenAutoencoder, testing::Values("vae_sd", "vae_plain"));

TEST(AutoencoderKl, TakesTheNamesOfOlderFiles) {
  const Golden golden("vae_sd");
  const io::SafetensorsFile file(test::golden_path("vae_sd.safetensors"));
  std::map<std::string, Tensor> renamed;
  for (std::string name : file.names()) {
    const Tensor tensor = file.read(name);
    for (const auto& [now, then] : {std::pair{".to_q.", ".query."},
                                    {".to_k.", ".key."},
                                    {".to_v.", ".value."},
                                    {".to_out.0.", ".proj_attn."}})
      if (const size_t at = name.find(now); at != std::string::npos)
        name.replace(at, std::string_view(now).size(), then);
    renamed[name] = tensor;
  }
  const test::MemoryWeights weights(std::move(renamed));
  const AutoencoderKl autoencoder(weights.scope() / "weights",
                                  AutoencoderKlConfig::from(golden.config()));
  weights.ledger().check_all_taken(weights, "weights.");
  EXPECT_LT(relative_error(autoencoder.decode(golden.input("latents")), golden.output("picture")),
            kFp32);
}

// Group norms and attention see the whole picture, so tiles change no more than rounding.
TEST(AutoencoderKl, GivesTheSameInTilesAsAsAWhole) {
  const Golden golden("vae_sd");
  const AutoencoderKl autoencoder = autoencoder_of(golden);
  const Tensor latents = test::random_tensor({2, 4, 44, 28}, 1);
  EXPECT_LT(relative_error(autoencoder.decode(latents, 1), autoencoder.decode(latents)), kFp32);
  const Tensor picture = test::random_tensor({2, 3, 4 * 44, 4 * 28}, 2);
  const Posterior whole = autoencoder.encode(picture), tiled = autoencoder.encode(picture, 1);
  EXPECT_LT(relative_error(tiled.mean, whole.mean), kFp32);
  EXPECT_LT(relative_error(tiled.logvar, whole.logvar), kFp32);
}

TEST(AutoencoderKlConfig, ReadsScalesAndSizes) {
  const AutoencoderKlConfig config = AutoencoderKlConfig::from(Golden("vae_plain").config());
  EXPECT_EQ(config.downscale(), 1);
  EXPECT_DOUBLE_EQ(config.shift_factor.value(), 0.0609);
  EXPECT_DOUBLE_EQ(config.scaling_factor, 1.5035);
  EXPECT_EQ(AutoencoderKlConfig::from(Golden("vae_sd").config()).downscale(), 4);
}

TEST(AutoencoderKlConfig, NamesABlockThatItDoesNotKnow) {
  const io::Config config(io::Json{{"down_block_types", {"AttnDownEncoderBlock2D"}}},
                          "vae/config.json");
  try {
    AutoencoderKlConfig::from(config);
    FAIL() << "expected UnsupportedModel";
  } catch (const UnsupportedModel& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("down_block_types"), std::string::npos) << text;
    EXPECT_NE(text.find("AttnDownEncoderBlock2D"), std::string::npos) << text;
    EXPECT_NE(text.find("vae/config.json"), std::string::npos) << text;
  }
}

TEST(AutoencoderKlConfig, RejectsImpossibleSizes) {
  EXPECT_THROW(AutoencoderKlConfig::from(io::Json{{"latent_channels", 0}}), CheckpointError);
  EXPECT_THROW(AutoencoderKlConfig::from(io::Json{{"block_out_channels", {0}}}), CheckpointError);
  EXPECT_THROW(AutoencoderKlConfig::from(io::Json{{"block_out_channels", {4, 4}}}),
               CheckpointError);
  EXPECT_THROW(AutoencoderKlConfig::from(io::Json{{"latents_mean", {1.0}}}), CheckpointError);
}

}  // namespace
}  // namespace sdrbee::vae
