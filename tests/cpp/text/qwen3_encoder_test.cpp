#include "sdrbee/text/qwen3_encoder.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/safetensors.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::text {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

const std::vector<int64_t> kAll = {0, 1, 2, 3};

Qwen3Encoder encoder_of(const Golden& golden, std::vector<int64_t> states = kAll,
                        Dtype dtype = Dtype::Float) {
  return Qwen3Encoder(golden.weights(dtype), Qwen3EncoderConfig::from(golden.config()),
                      std::move(states));
}

// make_networks.py, make_qwen3: Qwen3Model(ids).hidden_states
TEST(Qwen3Encoder, EqualsTransformers) {
  const Golden golden("qwen3_encoder");
  const std::vector<Tensor> states = encoder_of(golden)(golden.input("ids"), 40);
  golden.check_all_weights_taken();
  for (const int64_t i : kAll)
    EXPECT_LT(
        relative_error(states[static_cast<size_t>(i)], golden.output("state_" + std::to_string(i))),
        kFp32)
        << i;
}

// Qwen3Model(ids, attention_mask=[1] * 25 + [0] * 15).hidden_states; padding sees the text.
TEST(Qwen3Encoder, KeepsThePaddingOutOfSight) {
  const Golden golden("qwen3_encoder");
  const std::vector<Tensor> states = encoder_of(golden)(golden.input("ids"), 25);
  for (const int64_t i : kAll)
    EXPECT_LT(relative_error(states[static_cast<size_t>(i)],
                             golden.output("padded_" + std::to_string(i))),
              kFp32)
        << i;
}

TEST(Qwen3Encoder, StaysCloseInHalfPrecision) {
  const Golden golden("qwen3_encoder");
  for (const Dtype dtype : {Dtype::BFloat16, Dtype::Half}) {
    const Tensor state = encoder_of(golden, {3}, dtype)(golden.input("ids"), 25).front();
    EXPECT_EQ(state.scalar_type(), dtype);
    EXPECT_LT(relative_error(state, golden.output("padded_3")), kBf16);
  }
}

TEST(Qwen3Encoder, TakesTheLayersThatItNeeds) {
  const Golden golden("qwen3_encoder");
  std::map<std::string, Tensor> weights;
  const io::SafetensorsFile file(test::golden_path("qwen3_encoder.safetensors"));
  for (const std::string& name : file.names())
    if (name.starts_with("weights.") && !name.starts_with("weights.layers.2."))
      weights[name.substr(8)] = file.read(name).to(at::kFloat);
  const test::MemoryWeights causal(weights);
  const auto config = Qwen3EncoderConfig::from(golden.config());
  const Qwen3Encoder encoder(causal.scope(), config, {2, 1});
  const std::vector<Tensor> states = encoder(golden.input("ids"), 40);
  EXPECT_LT(relative_error(states[0], golden.output("state_2")), kFp32);
  EXPECT_LT(relative_error(states[1], golden.output("state_1")), kFp32);
  EXPECT_THROW(Qwen3Encoder(causal.scope(), config, {3}), CheckpointError);
  EXPECT_EQ(Qwen3Encoder::ignorable(config, {2, 1}),
            (std::vector<std::string>{"lm_head.", "layers.2."}));
}

TEST(Qwen3Encoder, RefusesIdsOutsideOfItsVocabulary) {
  const Golden golden("qwen3_encoder");
  const Qwen3Encoder encoder = encoder_of(golden);
  EXPECT_THROW(encoder(at::tensor({0, 100}, at::kLong).view({1, 2}), 2), CheckpointError);
  EXPECT_THROW(encoder(at::tensor({-1, 1}, at::kLong).view({1, 2}), 2), CheckpointError);
}

TEST(Qwen3EncoderConfig, ReadsThetaInEitherPlace) {
  EXPECT_EQ(Qwen3EncoderConfig::from(io::Json{{"rope_theta", 1e6}}).rope_theta, 1e6);
  const io::Json parameters = {{"rope_type", "default"}, {"rope_theta", 1e6}};
  EXPECT_EQ(Qwen3EncoderConfig::from(io::Json{{"rope_parameters", parameters}}).rope_theta, 1e6);
}

TEST(Qwen3EncoderConfig, NamesWhatItCannotRun) {
  for (const io::Json& json :
       {io::Json{{"hidden_act", "gelu"}}, io::Json{{"use_sliding_window", true}},
        io::Json{{"rope_scaling", {{"type", "yarn"}}}},
        io::Json{{"rope_parameters", {{"rope_type", "yarn"}}}}})
    EXPECT_THROW(Qwen3EncoderConfig::from(json), UnsupportedModel) << json;
  for (const io::Json& json : {io::Json{{"hidden_size", 0}}, io::Json{{"head_dim", 3}},
                               io::Json{{"num_key_value_heads", 5}}})
    EXPECT_THROW(Qwen3EncoderConfig::from(json), CheckpointError) << json;
}

}  // namespace
}  // namespace sdrbee::text
