#include "sdrbee/io/weight_scope.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/safetensors.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

class WeightScopeTest : public ::testing::Test {
 protected:
  WeightScopeTest() {
    write_safetensors(folder_ / "m.safetensors",
                      {{"blocks.0.weight", at::ones({2, 3}, Dtype::Half)},
                       {"blocks.0.bias", at::ones({2}, Dtype::Float)},
                       {"blocks.0.position_ids", at::ones({1, 77}, Dtype::Long)}});
    file_.emplace(folder_ / "m.safetensors");
    scope_.emplace(*file_, ledger_, Dtype::Float, c10::kCPU);
  }

  TemporaryFolder folder_;
  std::optional<SafetensorsFile> file_;
  WeightLedger ledger_;
  std::optional<WeightScope> scope_;
};

TEST_F(WeightScopeTest, TheLedgerCountsBytesAsTheyAreInMemory) {
  const WeightScope block = *scope_ / "blocks" / 0;
  block.take("weight", {2, 3});
  block.take("weight", {2, 3});
  EXPECT_EQ(ledger_.bytes(), 6 * 4);
  block.as(Dtype::Half).take("bias", {2});
  EXPECT_EQ(ledger_.bytes(), 6 * 4 + 2 * 2);
  block.promise_stored("position_ids", {1, 77});
  EXPECT_EQ(ledger_.bytes(), 6 * 4 + 2 * 2);
}

TEST_F(WeightScopeTest, TakesByPathInItsDtype) {
  const WeightScope block = *scope_ / "blocks" / 0;
  EXPECT_EQ(block.path(), "blocks.0");
  const Tensor weight = block.take("weight", {2, 3});
  EXPECT_EQ(weight.scalar_type(), Dtype::Float);
  EXPECT_TRUE(at::equal(weight, at::ones({2, 3})));
  EXPECT_TRUE(block.contains("bias"));
  EXPECT_EQ(block.find("weight")->dtype, Dtype::Half);
  EXPECT_FALSE(block.take_if_present("gain", {2}).has_value());
}

TEST_F(WeightScopeTest, DoesNotCopyWhereTheDtypeFits) {
  EXPECT_EQ((*scope_ / "blocks" / 0).take("bias", {2}).const_data_ptr(),
            file_->read("blocks.0.bias").const_data_ptr());
}

TEST_F(WeightScopeTest, NamesAMissingKey) {
  expect_error<CheckpointError>(
      [&] {
        (*scope_ / "blocks" / 1).take("weight", {2, 3});
      },
      "m.safetensors", "'blocks.1.weight'", "[2, 3]");
}

TEST_F(WeightScopeTest, NamesBothShapes) {
  expect_error<CheckpointError>(
      [&] {
        (*scope_ / "blocks" / 0).take("weight", {3, 2});
      },
      "m.safetensors", "'blocks.0.weight'", "[3, 2]", "[2, 3]");
}

TEST_F(WeightScopeTest, ListsUnexpectedKeysButNotIgnorableOnes) {
  (*scope_ / "blocks" / 0).take("weight", {2, 3});
  expect_error<CheckpointError>([&] { ledger_.check_all_taken(*file_, "", {"position_ids"}); },
                                "m.safetensors", "1 unexpected", "blocks.0.bias");
  (*scope_ / "blocks" / 0).take("bias", {2});
  EXPECT_NO_THROW(ledger_.check_all_taken(*file_, "", {"position_ids"}));
  EXPECT_NO_THROW(ledger_.check_all_taken(*file_, "other."));
  expect_error<CheckpointError>([&] { ledger_.check_all_taken(*file_); }, "position_ids");
}

}  // namespace
}  // namespace sdrbee::io
