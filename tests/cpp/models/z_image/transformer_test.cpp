#include "sdrbee/models/z_image/transformer.h"

#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::z_image {
namespace {

using test::Golden;
using test::relative_error;

constexpr double kFp32 = 1e-5;  // the project's bar for parity in fp32
constexpr double kBf16 = 3e-2;  // the project's bar for bf16 against fp32

Transformer transformer_of(const Golden& golden, Dtype dtype = Dtype::Float) {
  return Transformer(golden.weights(dtype), TransformerConfig::from(golden.config()));
}

/// Rows first..last of the golden, whose texts fill up to one number of tokens.
TransformerInputs rows_of(const Golden& golden, int64_t first, int64_t last) {
  const auto rows = [&](const char* name) {
    return golden.input(name).narrow(0, first, last - first + 1);
  };
  TransformerInputs inputs{.latents = rows("latents"),
                           .timesteps = rows("timesteps"),
                           .context = rows("context"),
                           .counts = {}};
  for (int64_t row = first; row <= last; ++row)
    inputs.counts.push_back(golden.input("counts")[row].item<int64_t>());
  return inputs;
}

// make_z_image.py: ZImageTransformer2DModel on texts of 5, 32 and 40 tokens at once.
TEST(ZImageTransformer, EqualsDiffusers) {
  const Golden golden("z_image");
  const Transformer transformer = transformer_of(golden);
  golden.check_all_weights_taken();
  const Tensor expected = golden.output("prediction");
  for (const auto& [first, last] : {std::pair{0, 1}, {2, 2}})
    EXPECT_LT(relative_error(transformer(rows_of(golden, first, last)),
                             expected.narrow(0, first, last - first + 1)),
              kFp32)
        << first;
}

TEST(ZImageTransformer, StaysCloseInBf16) {
  const Golden golden("z_image");
  const Tensor prediction = transformer_of(golden, Dtype::BFloat16)(rows_of(golden, 0, 1));
  EXPECT_EQ(prediction.scalar_type(), Dtype::BFloat16);
  EXPECT_LT(relative_error(prediction, golden.output("prediction").narrow(0, 0, 2)), kBf16);
}

TEST(ZImageTransformer, FillsShortTextsUp) {
  EXPECT_EQ(filled_up(1), 32);
  EXPECT_EQ(filled_up(32), 32);
  EXPECT_EQ(filled_up(33), 64);
}

TEST(ZImageTransformerConfig, DefaultsAreThoseOfDiffusers) {
  const auto config = TransformerConfig::from(io::Json::object());
  EXPECT_EQ(config.head_width(), 128);
  EXPECT_EQ(config.time_width(), 256);
  EXPECT_EQ(config.most_text_tokens(), 992);
}

TEST(ZImageTransformerConfig, RejectsWhatItCannotRun) {
  for (const io::Json& json :
       {io::Json{{"all_patch_size", {2, 4}}}, io::Json{{"all_f_patch_size", {2}}},
        io::Json{{"siglip_feat_dim", 1152}}})
    EXPECT_THROW(TransformerConfig::from(json), UnsupportedModel) << json;
  for (const io::Json& json :
       {io::Json{{"dim", 0}}, io::Json{{"n_heads", 7}}, io::Json{{"n_refiner_layers", -1}},
        io::Json{{"axes_dims", {32, 96}}}, io::Json{{"axes_dims", {31, 49, 48}}},
        io::Json{{"axes_lens", {1024, 512}}}, io::Json{{"axes_lens", {1024, 512, 1}}}})
    EXPECT_THROW(TransformerConfig::from(json), CheckpointError) << json;
}

}  // namespace
}  // namespace sdrbee::z_image
