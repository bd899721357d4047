#include "sdrbee/text/t5_encoder.h"

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

T5Encoder encoder_of(const Golden& golden, Dtype dtype = Dtype::Float) {
  return T5Encoder(golden.weights(dtype), T5EncoderConfig::from(golden.config()));
}

class GoldenT5 : public testing::TestWithParam<const char*> {};

// make_networks.py, make_t5: T5EncoderModel, longer than the buckets of near tokens reach.
TEST_P(GoldenT5, EqualsTransformers) {
  const Golden golden(GetParam());
  const Tensor states = encoder_of(golden)(golden.input("ids"));
  golden.check_all_weights_taken();
  EXPECT_LT(relative_error(states, golden.output("states")), kFp32);
}

TEST_P(GoldenT5, StaysCloseInHalfPrecision) {
  const Golden golden(GetParam());
  for (const Dtype dtype : {Dtype::BFloat16, Dtype::Half}) {
    const Tensor states = encoder_of(golden, dtype)(golden.input("ids"));
    EXPECT_EQ(states.scalar_type(), dtype);
    EXPECT_LT(relative_error(states, golden.output("states")), kBf16);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenT5, testing::Values("t5_encoder", "t5_encoder_buckets"));

std::map<std::string, Tensor> golden_weights() {
  std::map<std::string, Tensor> weights;
  const io::SafetensorsFile file(test::golden_path("t5_encoder.safetensors"));
  for (const std::string& name : file.names())
    if (name.starts_with("weights.")) weights[name.substr(8)] = file.read(name).to(at::kFloat);
  return weights;
}

// T5EncoderModel._keep_in_fp32_modules: the sums between the blocks of T5 are beyond fp16.
TEST(T5Encoder, KeepsTheSumsBetweenBlocksFiniteInFp16) {
  const Golden golden("t5_encoder");
  std::map<std::string, Tensor> weights = golden_weights();
  for (auto& [name, weight] : weights)
    if (name.ends_with("wo.weight")) weight = weight * 1e6;
  const test::MemoryWeights large(weights);
  const auto config = T5EncoderConfig::from(golden.config());
  const Tensor states = T5Encoder(large.scope(), config)(golden.input("ids"));
  const Tensor half = T5Encoder(large.scope(Dtype::Half), config)(golden.input("ids"));
  EXPECT_EQ(half.scalar_type(), Dtype::Half);
  EXPECT_LT(relative_error(half, states), kBf16);
}

TEST(T5Encoder, TakesTheEmbeddingByItsOtherName) {
  const Golden golden("t5_encoder");
  std::map<std::string, Tensor> weights = golden_weights();
  weights["encoder.embed_tokens.weight"] = weights.at("shared.weight");
  weights.erase("shared.weight");
  const test::MemoryWeights renamed(weights);
  const T5Encoder encoder(renamed.scope(), T5EncoderConfig::from(golden.config()));
  EXPECT_LT(relative_error(encoder(golden.input("ids")), golden.output("states")), kFp32);
}

TEST(T5Encoder, RefusesIdsOutsideOfItsVocabulary) {
  const Golden golden("t5_encoder");
  const T5Encoder encoder = encoder_of(golden);
  EXPECT_THROW(encoder(at::tensor({0, 100}, at::kLong).view({1, 2})), CheckpointError);
  EXPECT_THROW(encoder(at::tensor({-1, 1}, at::kLong).view({1, 2})), CheckpointError);
}

TEST(T5EncoderConfig, NamesWhatItCannotRun) {
  EXPECT_THROW(T5EncoderConfig::from(io::Json::object()), UnsupportedModel);  // relu
  EXPECT_THROW(T5EncoderConfig::from(io::Json{{"feed_forward_proj", "gated-silu"}}),
               UnsupportedModel);
  const auto with = [](const char* key, int64_t value) {
    return io::Json{{"feed_forward_proj", "gated-gelu"}, {key, value}};
  };
  EXPECT_THROW(T5EncoderConfig::from(with("d_model", 0)), CheckpointError);
  EXPECT_THROW(T5EncoderConfig::from(with("relative_attention_num_buckets", 6)), CheckpointError);
  EXPECT_THROW(T5EncoderConfig::from(with("relative_attention_max_distance", 8)), CheckpointError);
}

// T5Attention._relative_position_bucket(memory - query, True, 8, 20) of 24 tokens, first row
TEST(RelativePositionBuckets, GrowWithTheLogarithm) {
  const Tensor row = relative_position_buckets(24, 8, 20)[0];
  const std::vector<int64_t> expected = {0, 5, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7,
                                         7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
  EXPECT_EQ(std::vector<int64_t>(row.const_data_ptr<int64_t>(), row.const_data_ptr<int64_t>() + 24),
            expected);
}

}  // namespace
}  // namespace sdrbee::text
