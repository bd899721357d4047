#include "sdrbee/models/flux/rename_table.h"

#include <gtest/gtest.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/safetensors.h"
#include "sdrbee/models/flux/transformer.h"
#include "support/golden.h"
#include "support/memory_weights.h"

namespace sdrbee::flux {
namespace {

using test::Golden;

std::shared_ptr<const io::WeightSource> original_weights() {
  return std::make_shared<io::SubsetWeights>(
      std::make_shared<io::SafetensorsFile>(test::golden_path("flux_original.safetensors")),
      "weights.");
}

// make_flux.py, original: the weights of flux_dev in the original naming.
TEST(FluxRenameTable, GivesTheWeightsOfDiffusers) {
  const Golden golden("flux_dev");
  const auto config = TransformerConfig::from(golden.config());
  const io::RenamedWeights renamed(original_weights(), transformer_rules(*original_weights()));
  io::WeightLedger ledger;
  const Transformer transformer(io::WeightScope(renamed, ledger, Dtype::Float, test::test_device()),
                                config);
  ledger.check_all_taken(renamed);
  const Tensor prediction = transformer({.tokens = golden.input("tokens"),
                                         .positions = golden.input("positions"),
                                         .timesteps = golden.input("timesteps"),
                                         .context = golden.input("context"),
                                         .pooled = golden.input("pooled"),
                                         .guidance = golden.input("guidance")});
  EXPECT_LT(test::relative_error(prediction, golden.output("prediction")), 1e-5);
}

TEST(FluxRenameTable, ReadsTheConfigurationOffTheTensors) {
  const Golden golden("flux_original");
  const io::RenamedWeights renamed(original_weights(), transformer_rules(*original_weights()));
  const io::Config read = read_transformer_config(renamed);
  const auto expected = TransformerConfig::from(golden.config());
  EXPECT_EQ(read.int64_or("in_channels", 0), expected.in_channels);
  EXPECT_EQ(read.int64_or("out_channels", 0), expected.out_channels);
  for (const char* key :
       {"num_layers", "num_single_layers", "attention_head_dim", "num_attention_heads",
        "joint_attention_dim", "pooled_projection_dim", "guidance_embeds"})
    EXPECT_EQ(read.json()[key], golden.config().json()[key]) << key;
}

TEST(FluxRenameTable, NamesAMissingTensor) {
  try {
    read_transformer_config(test::MemoryWeights());
    FAIL() << "expected a CheckpointError";
  } catch (const CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("'x_embedder.weight'"), std::string::npos);
  }
}

}  // namespace
}  // namespace sdrbee::flux
