#include "sdrbee/lora/adapted_weights.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <gtest/gtest.h>

#include "io/temporary_folder.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/dequantise.h"
#include "sdrbee/io/quantise.h"
#include "sdrbee/lora/lora_delta.h"
#include "sdrbee/lora/lora_targets.h"
#include "sdrbee/nn/quantised_weight.h"
#include "support/memory_weights.h"

namespace sdrbee::lora {
namespace {

using io::testing::TemporaryFolder;
using test::largest_difference;
using test::MemoryWeights;
using test::random_tensor;

LoraUse half() {
  LoraUse use;
  use.strength = 0.5;
  return use;
}

/// Weights that stay in blocks.
class BlockWeights final : public io::WeightSource {
 public:
  explicit BlockWeights(io::QuantisedTensor blocks) : blocks_(std::move(blocks)) {}
  std::vector<std::string> names() const override { return {"to_q.weight"}; }
  std::optional<io::WeightInfo> find(const std::string& name) const override {
    if (name != "to_q.weight") return std::nullopt;
    return io::WeightInfo{Dtype::Float, blocks_.shape, blocks_.type};
  }
  Tensor read(const std::string&) const override { return io::dequantise(blocks_, Dtype::Float); }
  io::QuantisedTensor read_blocks(const std::string&) const override { return blocks_; }
  std::string origin(const std::string&) const override { return "memory"; }

 private:
  io::QuantisedTensor blocks_;
};

class AdaptedWeightsTest : public ::testing::Test {
 protected:
  std::shared_ptr<const LoraFile> write(const std::map<std::string, Tensor>& tensors) {
    const auto path = folder_ / "lora.safetensors";
    io::write_safetensors(path, tensors);
    return LoraFile::open(path);
  }

  std::vector<Target> targets(std::shared_ptr<const io::WeightSource> weights) {
    return {{.names = {"unet", {"unet.", "lora_unet_"}},
             .weights = std::make_shared<AdaptedWeights>(std::move(weights))}};
  }

  const Tensor down_ = random_tensor({2, 32}, 1);
  const Tensor up_ = random_tensor({6, 2}, 2);
  const Tensor weight_ = random_tensor({6, 32}, 3);
  const std::map<std::string, Tensor> lora_ = {{"unet.to_q.lora_A.weight", down_},
                                               {"unet.to_q.lora_B.weight", up_}};
  TemporaryFolder folder_;
};

TEST_F(AdaptedWeightsTest, AddsAndTakesAwayExactly) {
  auto all = targets(std::make_shared<MemoryWeights>(
      std::map<std::string, Tensor>{{"to_q.weight", weight_}, {"to_k.weight", weight_}}));
  Matched matched = match(write(lora_), half(), all, LayerNames(all));
  EXPECT_TRUE(matched.unmatched.empty());
  AdaptedWeights& weights = *all.front().weights;

  weights.want(matched.changes.front());
  EXPECT_TRUE(at::equal(weights.read("to_q.weight"), weight_)) << "before renew";
  EXPECT_EQ(weights.renew(), std::set<std::string>{"to_q.weight"});
  EXPECT_TRUE(weights.renew().empty());
  EXPECT_LT(largest_difference(weights.read("to_q.weight"), weight_ + at::matmul(up_, down_) * 0.5),
            1e-5);
  EXPECT_TRUE(at::equal(weights.read("to_k.weight"), weight_));

  weights.want({});
  EXPECT_EQ(weights.renew(), std::set<std::string>{"to_q.weight"});
  EXPECT_TRUE(at::equal(weights.read("to_q.weight"), weight_));
}

TEST_F(AdaptedWeightsTest, AddsToBlocksWhenTheyAreExpanded) {
  const io::QuantisedTensor blocks = io::quantise(weight_, io::GgmlType::Q8_0);
  auto all = targets(std::make_shared<BlockWeights>(blocks));
  AdaptedWeights& weights = *all.front().weights;
  weights.want(match(write(lora_), half(), all, LayerNames(all)).changes.front());
  weights.renew();
  const io::QuantisedTensor changed = weights.read_blocks("to_q.weight");
  const Tensor expected = io::dequantise(blocks, Dtype::Float) + at::matmul(up_, down_) * 0.5;
  EXPECT_LT(largest_difference(io::dequantise(changed, Dtype::Float), expected), 1e-5);
  EXPECT_LT(largest_difference(io::dequantise(io::narrow_rows(changed, 2, 3), Dtype::Float),
                               expected.narrow(0, 2, 3)),
            1e-5);
}

TEST_F(AdaptedWeightsTest, ProductsWithBlocksHaveWhatIsAdded) {
  auto all = targets(std::make_shared<BlockWeights>(io::quantise(weight_, io::GgmlType::Q8_0)));
  AdaptedWeights& weights = *all.front().weights;
  weights.want(match(write(lora_), {}, all, LayerNames(all)).changes.front());
  weights.renew();
  const io::QuantisedTensor changed = weights.read_blocks("to_q.weight");
  for (const Dtype dtype : {Dtype::Float, Dtype::BFloat16}) {
    const Tensor x = random_tensor({5, 32}, 4).to(dtype);
    const Tensor expected = at::linear(x, io::dequantise(changed, dtype));
    EXPECT_LT(test::relative_error(nn::run_quantised_matrix(x, {changed, dtype}, {}), expected),
              dtype == Dtype::Float ? 1e-5 : 1e-2);
  }
}

TEST_F(AdaptedWeightsTest, ListsWhatMeansNothing) {
  auto all = targets(
      std::make_shared<MemoryWeights>(std::map<std::string, Tensor>{{"to_k.weight", weight_}}));
  const Matched matched = match(write(lora_), {}, all, LayerNames(all));
  EXPECT_EQ(matched.unmatched,
            (std::vector<std::string>{"unet.to_q.lora_A.weight", "unet.to_q.lora_B.weight"}));
}

TEST_F(AdaptedWeightsTest, RefusesShapesThatDoNotFit) {
  auto all = targets(std::make_shared<MemoryWeights>(
      std::map<std::string, Tensor>{{"to_q.weight", random_tensor({6, 16}, 3)}}));
  EXPECT_THROW(match(write(lora_), {}, all, LayerNames(all)), CheckpointError);
  auto tensors = lora_;
  tensors["unet.to_q.lora_A.weight"] = random_tensor({3, 32}, 1);
  EXPECT_THROW(match(write(tensors), {}, all, LayerNames(all)), CheckpointError);
  tensors.erase("unet.to_q.lora_A.weight");
  EXPECT_THROW(match(write(tensors), {}, all, LayerNames(all)), CheckpointError);
}

TEST_F(AdaptedWeightsTest, ReadsOldAndFlatNames) {
  auto all = targets(std::make_shared<MemoryWeights>(std::map<std::string, Tensor>{
      {"down_blocks.1.attentions.0.to_out.0.weight", weight_}, {"fc.weight", weight_}}));
  all.front().names.renames = {{"input_blocks.4.1.", {"down_blocks.1.attentions.0."}}};
  const LayerNames names(all);
  for (const char* name :
       {"lora_unet_down_blocks_1_attentions_0_to_out_0", "unet.down_blocks.1.attentions.0.to_out",
        "lora_unet_input_blocks_4_1_to_out_0", "down_blocks.1.attentions.0.to_out.0"}) {
    const auto layer = names.find(name);
    ASSERT_TRUE(layer.has_value()) << name;
    EXPECT_EQ(layer->names, std::vector<std::string>{"down_blocks.1.attentions.0.to_out.0"});
  }
  EXPECT_FALSE(names.find("lora_unet_input_blocks_4_1"));
}

TEST_F(AdaptedWeightsTest, SplitsAndSwapsRowsAsCheckpointsAre) {
  const Tensor low = random_tensor({4, 32}, 5);
  auto all = targets(std::make_shared<MemoryWeights>(std::map<std::string, Tensor>{
      {"a.to_q.weight", weight_}, {"a.to_k.weight", low}, {"out.weight", weight_}}));
  all.front().names.renames = {{"block.0.qkv.", {"a.to_q.", "a.to_k."}, io::RenameVerb::Split},
                               {"last.1.", {"nowhere."}},
                               {"last.1.weight", {"out.weight"}, io::RenameVerb::SwapHalves}};
  const LayerNames names(all);
  EXPECT_EQ(names.find("unet.block.0.qkv")->names, (std::vector<std::string>{"a.to_q", "a.to_k"}));
  EXPECT_TRUE(names.find("unet.last.1")->halves_swapped);

  const Tensor joined_up = random_tensor({10, 2}, 6);
  const Tensor difference = random_tensor({6, 32}, 7);
  const auto file = write({{"lora_unet_block_0_qkv.lora_down.weight", down_},
                           {"lora_unet_block_0_qkv.lora_up.weight", joined_up},
                           {"lora_unet_last_1.diff", difference}});
  AdaptedWeights& weights = *all.front().weights;
  weights.want(match(file, half(), all, names).changes.front());
  weights.renew();
  const Tensor joined = at::matmul(joined_up, down_) * 0.5;
  EXPECT_LT(largest_difference(weights.read("a.to_q.weight"), weight_ + joined.narrow(0, 0, 6)),
            1e-5);
  EXPECT_LT(largest_difference(weights.read("a.to_k.weight"), low + joined.narrow(0, 6, 4)), 1e-5);
  const Tensor swapped = at::cat({difference.narrow(0, 3, 3), difference.narrow(0, 0, 3)});
  EXPECT_LT(largest_difference(weights.read("out.weight"), weight_ + swapped * 0.5), 1e-5);
}

}  // namespace
}  // namespace sdrbee::lora
