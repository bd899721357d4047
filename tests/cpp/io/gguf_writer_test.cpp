#include "sdrbee/io/gguf_writer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>

#include "sdrbee/core/error.h"
#include "sdrbee/io/gguf.h"
#include "sdrbee/io/quantise.h"
#include "support/golden.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::file_count;
using testing::read_text;
using testing::TemporaryFolder;

std::map<std::string, QuantisedTensor> all_tensors(const GgufFile& file) {
  std::map<std::string, QuantisedTensor> tensors;
  for (const std::string& name : file.names()) tensors[name] = file.read_blocks(name);
  return tensors;
}

Tensor counting(at::IntArrayRef shape) {
  return at::arange(c10::multiply_integers(shape)).reshape(shape).to(Dtype::Float);
}

TEST(WriteGguf, GivesBackWhatWasRead) {
  const TemporaryFolder folder;
  const GgufFile original(test::golden_path("gguf_types.gguf"));
  write_gguf(folder / "m.gguf", all_tensors(original), original.metadata());
  const GgufFile copy(folder / "m.gguf");
  EXPECT_EQ(copy.metadata(), original.metadata());
  EXPECT_EQ(copy.names(), original.names());
  for (const std::string& name : original.names()) {
    const QuantisedTensor expected = original.read_blocks(name);
    const QuantisedTensor got = copy.read_blocks(name);
    EXPECT_EQ(got.type, expected.type) << name;
    EXPECT_EQ(got.shape, expected.shape) << name;
    EXPECT_TRUE(at::equal(got.bytes, expected.bytes)) << name;
  }
}

TEST(WriteGguf, IsDeterministicAndLeavesNoHalfFile) {
  const TemporaryFolder folder;
  const std::map<std::string, QuantisedTensor> tensors = {
      {"b", as_blocks(counting({3}))}, {"a", quantise(counting({2, 32}), GgmlType::Q4_0)}};
  write_gguf(folder / "1.gguf", tensors);
  write_gguf(folder / "2.gguf", tensors);
  EXPECT_EQ(read_text(folder / "1.gguf"), read_text(folder / "2.gguf"));
  expect_error<CheckpointError>(
      [&] {
        write_gguf(folder / "3.gguf", {{"a", as_blocks(counting({0, 3}))}});
      },
      "3.gguf", "'a'", "[0, 3]");
  EXPECT_EQ(file_count(folder.path()), 2U);
}

TEST(WriteGguf, AsksForOneTensorAfterTheOther) {
  const TemporaryFolder folder;
  const std::map<std::string, QuantisedTensor> tensors = {
      {"b", as_blocks(counting({3}))}, {"a", quantise(counting({8, 4, 3, 3}), GgmlType::Q4_0)}};
  std::map<std::string, PlannedTensor> plan;
  for (const auto& [name, tensor] : tensors) plan[name] = {tensor.type, tensor.shape};
  std::vector<std::string> asked;
  write_gguf(folder / "1.gguf", plan, [&](const std::string& name) {
    asked.push_back(name);
    return tensors.at(name);
  });
  write_gguf(folder / "2.gguf", tensors);
  EXPECT_EQ(asked, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(read_text(folder / "1.gguf"), read_text(folder / "2.gguf"));
  const auto answer_b = [&](const std::string&) { return tensors.at("b"); };
  expect_error<InternalError>([&] { write_gguf(folder / "3.gguf", plan, answer_b); }, "for a");
  EXPECT_EQ(file_count(folder.path()), 2U);
}

TEST(WriteGguf, KeepsShapesThatTheFormatCannotHold) {
  const TemporaryFolder folder;
  std::map<std::string, QuantisedTensor> tensors = {
      {"scalar", as_blocks(counting({}))},
      {"five", as_blocks(counting({2, 1, 3, 1, 2}))},
      {"conv", quantise(counting({8, 4, 3, 3}), GgmlType::Q5_1)},
      {"kernel", as_blocks(counting({8, 4, 3, 3}))},
      {"matrix", quantise(counting({3, 64}), GgmlType::Q5_1)}};
  write_gguf(folder / "m.gguf", tensors);
  const GgufFile file(folder / "m.gguf");
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(file.find(name)->shape, tensor.shape) << name;
    EXPECT_TRUE(at::equal(file.read_blocks(name).bytes, tensor.bytes)) << name;
  }
  EXPECT_EQ(file.metadata().size(), 3U);
  for (const std::string name : {"matrix", "kernel"})
    EXPECT_FALSE(file.metadata().contains("comfy.gguf.orig_shape." + name)) << name;
}

TEST(WriteGguf, DropsShapesOfOtherTensors) {
  const TemporaryFolder folder;
  write_gguf(folder / "m.gguf", {{"w", as_blocks(counting({6}))}},
             {{"comfy.gguf.orig_shape.w", GgufList(std::vector<int32_t>{2, 2})}});
  EXPECT_EQ(GgufFile(folder / "m.gguf").find("w")->shape, (std::vector<int64_t>{6}));
}

TEST(WriteGguf, ObeysTheAlignment) {
  const TemporaryFolder folder;
  const std::map<std::string, QuantisedTensor> tensors = {{"a", as_blocks(counting({1}))},
                                                          {"b", as_blocks(counting({1}))}};
  write_gguf(folder / "m.gguf", tensors, {{"general.alignment", uint32_t{256}}});
  const GgufHeader header = parse_gguf_header(read_text(folder / "m.gguf"), "m");
  EXPECT_EQ(header.data_offset % 256, 0U);
  EXPECT_EQ(header.tensors.at("b").begin, header.data_offset + 256);
  expect_error<CheckpointError>(
      [&] {
        write_gguf(folder / "n.gguf", tensors, {{"general.alignment", uint32_t{3}}});
      },
      "n.gguf", "general.alignment");
}

}  // namespace
}  // namespace sdrbee::io
