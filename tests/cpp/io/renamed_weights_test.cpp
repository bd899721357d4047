#include "sdrbee/io/renamed_weights.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/dequantise.h"
#include "sdrbee/io/gguf.h"
#include "sdrbee/io/gguf_writer.h"
#include "sdrbee/io/quantise.h"
#include "sdrbee/io/safetensors.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

Tensor counting(at::IntArrayRef shape) {
  return at::arange(c10::multiply_integers(shape)).reshape(shape).to(Dtype::Float);
}

std::shared_ptr<const WeightSource> make_source(const TemporaryFolder& folder,
                                                const std::map<std::string, Tensor>& tensors,
                                                const std::string& name = "m.safetensors") {
  write_safetensors(folder / name, tensors);
  return std::make_shared<SafetensorsFile>(folder / name);
}

TEST(RenamedWeights, RenamesByWholeNameThenByLongestPrefix) {
  const TemporaryFolder folder;
  const RenamedWeights weights(make_source(folder, {{"a.b.c", counting({1})},
                                                    {"a.b.d", counting({2})},
                                                    {"a.x", counting({3})},
                                                    {"ab.x", counting({4})}}),
                               {{"a.", {"outer."}}, {"a.b.", {"inner."}}, {"a.b.c", {"whole"}}});
  EXPECT_EQ(weights.names(), (std::vector<std::string>{"ab.x", "inner.d", "outer.x", "whole"}));
  EXPECT_EQ(weights.read("inner.d").size(0), 2);
  EXPECT_EQ(weights.find("outer.x")->shape, (std::vector<int64_t>{3}));
  EXPECT_FALSE(weights.find("a.b.c").has_value());
  EXPECT_EQ(weights.origin("whole"), (folder / "m.safetensors").string());
  expect_error<CheckpointError>([&] { weights.read("a.b.c"); }, "m.safetensors", "'a.b.c'");
}

TEST(RenamedWeights, SplitsAndSwapsHalves) {
  const TemporaryFolder folder;
  const Tensor qkv = counting({6, 2});
  const RenamedWeights weights(make_source(folder, {{"qkv", qkv}, {"rows", qkv}, {"columns", qkv}}),
                               {{"qkv", {"q", "k", "v"}, RenameVerb::Split, 0},
                                {"rows", {"rows"}, RenameVerb::SwapHalves, 0},
                                {"columns", {"left", "right"}, RenameVerb::Split, 1}});
  EXPECT_EQ(weights.find("k")->shape, (std::vector<int64_t>{2, 2}));
  EXPECT_TRUE(at::equal(weights.read("k"), qkv.narrow(0, 2, 2)));
  EXPECT_TRUE(at::equal(weights.read("v"), qkv.narrow(0, 4, 2)));
  EXPECT_TRUE(at::equal(weights.read("right"), qkv.narrow(1, 1, 1)));
  EXPECT_TRUE(at::equal(weights.read("rows").narrow(0, 0, 3), qkv.narrow(0, 3, 3)));
  EXPECT_TRUE(at::equal(weights.read("rows").narrow(0, 3, 3), qkv.narrow(0, 0, 3)));
}

TEST(RenamedWeights, KeepsBlocksWhereAVerbMovesWholeOnes) {
  const TemporaryFolder folder;
  const Tensor values = counting({6, 32}).sub(96);
  std::map<std::string, QuantisedTensor> tensors;
  for (const char* name : {"same", "parts", "halves", "table", "columns", "turned", "plain"})
    tensors[name] = quantise(values, GgmlType::Q8_0);
  tensors["kernel"] = quantise(values.view({6, 32, 1, 1}), GgmlType::Q8_0);
  tensors["plain"] = as_blocks(values);
  write_gguf(folder / "m.gguf", tensors);
  const RenamedWeights weights(std::make_shared<GgufFile>(folder / "m.gguf"),
                               {{"same", {"renamed"}},
                                {"parts", {"q", "k"}, RenameVerb::Split, 0, {1, 2}},
                                {"halves", {"swapped"}, RenameVerb::SwapHalves, 0},
                                {"kernel", {"matrix"}, RenameVerb::SqueezeConv},
                                {"table", {"tables"}, RenameVerb::Unsqueeze},
                                {"columns", {"left", "right"}, RenameVerb::Split, 1},
                                {"turned", {"transposed"}, RenameVerb::Transpose}});
  for (const char* name : {"renamed", "q", "k", "swapped", "matrix", "tables"}) {
    ASSERT_EQ(weights.find(name)->blocks, GgmlType::Q8_0) << name;
    const QuantisedTensor blocks = weights.read_blocks(name);
    check_blocks(blocks);
    EXPECT_EQ(blocks.shape, weights.find(name)->shape) << name;
    EXPECT_TRUE(at::equal(dequantise(blocks, Dtype::Float), weights.read(name))) << name;
  }
  for (const char* name : {"left", "right", "transposed", "plain"})
    EXPECT_FALSE(weights.find(name)->blocks.has_value()) << name;
}

TEST(RenamedWeights, SplitsInPartsOfUnequalLength) {
  const TemporaryFolder folder;
  const Tensor rows = counting({12, 2});
  const auto source = make_source(folder, {{"in.weight", rows}});
  const RenamedWeights weights(
      source, {{"in.weight", {"q.weight", "mlp.weight"}, RenameVerb::Split, 0, {1, 3}}});
  EXPECT_EQ(weights.find("mlp.weight")->shape, (std::vector<int64_t>{9, 2}));
  EXPECT_TRUE(at::equal(weights.read("q.weight"), rows.narrow(0, 0, 3)));
  EXPECT_TRUE(at::equal(weights.read("mlp.weight"), rows.narrow(0, 3, 9)));
  expect_error<CheckpointError>(
      [&] {
        RenamedWeights(source, {{"in.weight", {"a", "b"}, RenameVerb::Split, 0, {1, 4}}});
      },
      "'in.weight'", "[12, 2]");
}

TEST(RenamedWeights, TransposesSqueezesAndDrops) {
  const TemporaryFolder folder;
  const RenamedWeights weights(make_source(folder, {{"projection", counting({2, 3})},
                                                    {"kernel.weight", counting({2, 3, 1, 1})},
                                                    {"kernel.bias", counting({2})},
                                                    {"table", counting({2, 3})},
                                                    {"tables", counting({1, 2, 3})},
                                                    {"loss.x", counting({2})}}),
                               {{"projection", {"p"}, RenameVerb::Transpose},
                                {"kernel.", {"linear."}, RenameVerb::SqueezeConv},
                                {"table", {"t1"}, RenameVerb::Unsqueeze},
                                {"tables", {"t2"}, RenameVerb::Unsqueeze},
                                {"loss.", {}, RenameVerb::Drop}});
  EXPECT_EQ(weights.names(),
            (std::vector<std::string>{"linear.bias", "linear.weight", "p", "t1", "t2"}));
  for (const char* table : {"t1", "t2"}) {
    EXPECT_EQ(weights.find(table)->shape, (std::vector<int64_t>{1, 2, 3}));
    EXPECT_TRUE(at::equal(weights.read(table), counting({1, 2, 3})));
  }
  EXPECT_TRUE(at::equal(weights.read("p"), counting({2, 3}).t()));
  EXPECT_TRUE(weights.read("p").is_contiguous());
  EXPECT_TRUE(at::equal(weights.read("linear.weight"), counting({2, 3})));
  EXPECT_EQ(weights.find("linear.weight")->shape, (std::vector<int64_t>{2, 3}));
}

TEST(RenamedWeights, NamesATensorWhoseShapeForbidsTheVerb) {
  const TemporaryFolder folder;
  const auto source = make_source(folder, {{"x", counting({4, 3})}, {"y", counting({2, 3, 3})}});
  const auto refuse = [&](RenameRule rule, const std::string& name) {
    expect_error<CheckpointError>([&] { RenamedWeights(source, {rule}); }, "m.safetensors",
                                  "'" + name + "'", "shape");
  };
  refuse({"x", {"a", "b", "c"}, RenameVerb::Split, 0}, "x");
  refuse({"x", {"a", "b"}, RenameVerb::Split, 2}, "x");
  refuse({"x", {"a"}, RenameVerb::SwapHalves, 1}, "x");
  refuse({"y", {"a"}, RenameVerb::Transpose}, "y");
  refuse({"y", {"a"}, RenameVerb::SqueezeConv}, "y");
  refuse({"y", {"a"}, RenameVerb::Unsqueeze}, "y");
}

TEST(RenamedWeights, RefusesTwoTensorsOfOneName) {
  const TemporaryFolder folder;
  const auto source = make_source(folder, {{"a.x", counting({1})}, {"b.x", counting({1})}});
  expect_error<CheckpointError>(
      [&] {
        RenamedWeights(source, {{"a.", {"b."}}});
      },
      "'b.x'", "twice");
}

TEST(SubsetWeights, OffersNamesWithoutThePrefix) {
  const TemporaryFolder folder;
  const SubsetWeights weights(
      make_source(folder, {{"vae.x", counting({1})}, {"unet.x", counting({2})}}), "unet.");
  EXPECT_EQ(weights.names(), (std::vector<std::string>{"x"}));
  EXPECT_EQ(weights.read("x").size(0), 2);
  EXPECT_FALSE(weights.find("y").has_value());
  expect_error<CheckpointError>([&] { weights.read("y"); }, "'unet.y'");
}

TEST(MergedWeights, JoinsSourcesAndRefusesANameInTwo) {
  const TemporaryFolder folder;
  const auto one = make_source(folder, {{"a", counting({1})}}, "1.safetensors");
  const auto two = make_source(folder, {{"b", counting({2})}}, "2.safetensors");
  const MergedWeights weights({one, two}, "all");
  EXPECT_EQ(weights.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(weights.read("b").size(0), 2);
  EXPECT_EQ(weights.origin("b"), (folder / "2.safetensors").string());
  EXPECT_EQ(weights.origin("c"), "all");
  expect_error<CheckpointError>([&] { weights.read("c"); }, "[all]", "'c'");
  expect_error<CheckpointError>([&] { MergedWeights({one, one}, "all"); }, "1.safetensors", "'a'");
}

}  // namespace
}  // namespace sdrbee::io
