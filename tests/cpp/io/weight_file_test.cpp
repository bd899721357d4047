#include "sdrbee/io/weight_file.h"

#include <ATen/ops/ones.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/safetensors.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

class WeightFileTest : public ::testing::Test {
 protected:
  std::filesystem::path weights(const std::string& name) {
    write_safetensors(folder_ / name, {{"x", at::ones({1})}});
    return folder_ / name;
  }
  TemporaryFolder folder_;
};

TEST_F(WeightFileTest, AShardAloneNamesItsIndex) {
  for (const std::string name :
       {"flux1.dev-00002-of-00003.safetensors", "flux1.dev-00002-of-00003.fp16.safetensors"})
    expect_error<CheckpointError>([&] { open_weight_file(weights(name)); }, name,
                                  "shard 00002 of 00003", "(flux1.dev.safetensors.index.json)");
}

TEST_F(WeightFileTest, NamesThatOnlyLookLikeShardsAreWholeFiles) {
  for (const std::string name :
       {"model-00001-of-00001.safetensors", "model-1-of-2.safetensors", "m.safetensors",
        "model-0000a-of-00002.safetensors", "model_00001-of-00002.safetensors",
        "model-00001-to-00002.safetensors", "model-00001-of-00002.a.b.safetensors"})
    EXPECT_EQ(open_weight_file(weights(name)).files.size(), 1U) << name;
}

}  // namespace
}  // namespace sdrbee::io
