#include "sdrbee/io/gguf.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>

#include <functional>

#include "gguf_bytes.h"
#include "sdrbee/core/error.h"
#include "sdrbee/io/dequantise.h"
#include "sdrbee/io/gguf_writer.h"
#include "sdrbee/io/quantise.h"
#include "sdrbee/io/safetensors.h"
#include "sdrbee/io/weight_scope.h"
#include "support/golden.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;
using testing::GgufBytes;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

GgufFile types_file() { return GgufFile(test::golden_path("gguf_types.gguf")); }

TEST(GgufFile, ReadsEveryTypeAsWeights) {
  const GgufFile file = types_file();
  const SafetensorsFile golden(test::golden_path("gguf.safetensors"));
  EXPECT_EQ(file.names().size(), 16U);
  for (const std::string& name : file.names()) {
    const Tensor expected = golden.read("dequantised." + name);
    const Tensor read = file.read(name);
    EXPECT_EQ(at::IntArrayRef(file.find(name)->shape), expected.sizes()) << name;
    EXPECT_EQ(read.scalar_type(), file.find(name)->dtype) << name;
    EXPECT_TRUE(at::equal(read.to(Dtype::Float), expected)) << name;
  }
  EXPECT_EQ(file.find("w.F16")->dtype, Dtype::Half);
  EXPECT_EQ(file.find("w.BF16")->dtype, Dtype::BFloat16);
  EXPECT_EQ(file.find("w.Q4_K")->dtype, Dtype::Float);
  EXPECT_EQ(file.find_type("w.Q4_K"), GgmlType::Q4_K);
}

TEST(GgufFile, NamesTheArchitectureAndItsFile) {
  EXPECT_EQ(types_file().architecture(), "test");
  EXPECT_EQ(types_file().origin("w.F32"), test::golden_path("gguf_types.gguf"));
  const TemporaryFolder folder;
  write_gguf(folder / "m.gguf", {});
  EXPECT_FALSE(GgufFile(folder / "m.gguf").architecture().has_value());
}

TEST(GgufFile, NamesAMissingTensor) {
  const GgufFile file = types_file();
  EXPECT_FALSE(file.find("unet.x").has_value());
  EXPECT_FALSE(file.find_type("unet.x").has_value());
  expect_error<CheckpointError>([&] { file.read("unet.x"); }, "gguf_types.gguf", "'unet.x'");
  expect_error<CheckpointError>([&] { file.read_blocks("unet.x"); }, "'unet.x'");
}

TEST(GgufFile, SharesTheMappingWithoutACopyAndKeepsItAlive) {
  const TemporaryFolder folder;
  const Tensor values = at::arange(1 << 16).to(Dtype::Float).div(64);
  const Tensor halves = at::full({1 << 15}, 1.5, at::TensorOptions().dtype(Dtype::Half));
  write_gguf(folder / "m.gguf",
             {{"a", quantise(values, GgmlType::Q8_0)}, {"b", as_blocks(halves)}});
  QuantisedTensor first;
  QuantisedTensor second;
  Tensor plain;
  Tensor expected;
  {
    const GgufFile file(folder / "m.gguf");
    first = file.read_blocks("a");
    second = file.read_blocks("a");
    plain = file.read("b");
    expected = file.read("a");
    EXPECT_EQ(first.bytes.const_data_ptr(), second.bytes.const_data_ptr());
    EXPECT_EQ(plain.const_data_ptr(), file.read("b").const_data_ptr());
  }
  first = {};  // gives pages back that `second` still uses
  EXPECT_TRUE(at::equal(dequantise(second, Dtype::Float), expected));
  EXPECT_TRUE(at::equal(plain, halves));
}

TEST(GgufFile, OpensFilesWithTypesThatItCannotExpand) {
  const TemporaryFolder folder;
  write_text(folder / "m.gguf",
             GgufBytes().counts(1, 0).tensor("w", {256}, 16, 0).data(66).content());
  const GgufFile file(folder / "m.gguf");
  EXPECT_EQ(file.find_type("w"), GgmlType::IQ2_XXS);
  EXPECT_EQ(file.read_blocks("w").bytes.numel(), 66);
  WeightLedger ledger;
  const WeightScope scope(file, ledger, Dtype::Float, Device(c10::kCPU));
  for (const auto& action : std::vector<std::function<void()>>{
           [&] { file.read("w"); }, [&] { scope.promise_blocks("w", {256}); }})
    expect_error<UnsupportedModel>(action, "m.gguf", "'w'", "IQ2_XXS", "Q4_K");
}

TEST(GgufFile, RefusesPicklesWithTheConversion) {
  const TemporaryFolder folder;
  write_text(folder / "m.gguf", std::string("PK\x03\x04 rest of a zip", 18));
  expect_error<UnsupportedModel>([&] { GgufFile file(folder / "m.gguf"); }, "torch.load");
}

/// Tensors of which no flipped bit can change the type unnoticed: as another type they would end
/// in another stretch of the alignment.
std::map<std::string, QuantisedTensor> sturdy_tensors() {
  const Tensor values = at::arange(1024).to(Dtype::Float).sub(500).div(300).reshape({4, 256});
  std::map<std::string, QuantisedTensor> tensors;
  for (const GgmlLayout& layout : ggml_layouts())
    if (can_quantise(layout.type))
      tensors["w." + std::string(layout.name)] = quantise(values, layout.type);
  const GgufFile golden = types_file();
  for (const char* name : {"w.Q2_K", "w.Q3_K", "w.Q4_K", "w.Q5_K", "w.Q6_K", "w.IQ4_XS"})
    tensors[name] = golden.read_blocks(name);
  tensors["conv.weight"] = quantise(values.reshape({4, 64, 2, 2}), GgmlType::Q8_0);
  return tensors;
}

/// What a network does: takes the tensors it knows, with their shapes, and nothing else.
std::vector<Tensor> load(const std::filesystem::path& path,
                         const std::map<std::string, QuantisedTensor>& expected) {
  const GgufFile file(path);
  WeightLedger ledger;
  const WeightScope scope(file, ledger, Dtype::Float, c10::kCPU);
  std::vector<Tensor> taken;
  for (const auto& [name, tensor] : expected) taken.push_back(scope.take(name, tensor.shape));
  ledger.check_all_taken(file);
  return taken;
}

class DamagedGguf : public ::testing::Test {
 protected:
  DamagedGguf() {
    write_gguf(folder_ / "m.gguf", tensors_,
               {{"general.architecture", std::string("flux")},
                {"general.alignment", uint32_t{32}},
                {"tokens", GgufList(std::vector<std::string>{"a", "b"})},
                {"scores", GgufList(std::vector<float>{1, 2})}});
    good_ = read_text(folder_ / "m.gguf");
    header_ = parse_gguf_header(good_, "m.gguf");
    for (const auto& item : tensors_) expected_.push_back(dequantise(item.second, Dtype::Float));
  }

  /// Whether the content is refused with a typed error; otherwise it must load the same tensors.
  /// Files are slow, so only headers that say something else of the tensors go through one.
  bool refused(const std::string& content) {
    try {
      if (parse_gguf_header(content, "f.gguf").tensors == header_.tensors) return false;
      write_text(folder_ / "f.gguf", content);
      const std::vector<Tensor> taken = load(folder_ / "f.gguf", tensors_);
      for (size_t i = 0; i < taken.size(); ++i) EXPECT_TRUE(at::equal(taken[i], expected_[i])) << i;
    } catch (const CheckpointError&) {
      return true;
    } catch (const UnsupportedModel&) {
      return true;
    }
    return false;
  }

  TemporaryFolder folder_;
  std::map<std::string, QuantisedTensor> tensors_ = sturdy_tensors();
  std::vector<Tensor> expected_;
  std::string good_;
  GgufHeader header_;
};

TEST_F(DamagedGguf, AnyFlippedHeaderBitIsATypedErrorOrLoadsTheSameTensors) {
  const uint64_t header_bytes = header_.data_offset;
  size_t refusals = 0;
  for (size_t bit = 0; bit < 8 * header_bytes; ++bit) {
    std::string flipped = good_;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    refusals += refused(flipped) ? 1 : 0;
    ASSERT_FALSE(HasFailure()) << "bit " << bit;
  }
  EXPECT_GT(refusals, 6 * header_bytes);
}

TEST_F(DamagedGguf, AnyTruncationIsATypedErrorUnlessItIsOfPadding) {
  uint64_t end = 0;
  for (const auto& item : header_.tensors) end = std::max(end, item.second.end);
  const auto check = [&](size_t length) {
    EXPECT_EQ(refused(good_.substr(0, length)), length < end) << length;
  };
  for (size_t length = 0; length < good_.size(); ++length) check(length);
}

TEST_F(DamagedGguf, WholeFilesLoad) {
  const std::vector<Tensor> taken = load(folder_ / "m.gguf", tensors_);
  for (size_t i = 0; i < taken.size(); ++i) EXPECT_TRUE(at::equal(taken[i], expected_[i])) << i;
}

TEST_F(DamagedGguf, TruncatedFilesAreATypedErrorToo) {
  for (size_t length = 0; length < good_.size(); length += 1024) {
    write_text(folder_ / "t.gguf", good_.substr(0, length));
    EXPECT_THROW(GgufFile file(folder_ / "t.gguf"), CheckpointError) << length;
  }
}

TEST_F(DamagedGguf, BytesAfterTheEndAreATypedError) {
  EXPECT_TRUE(refused(good_ + std::string(64, '\0')));
}

}  // namespace
}  // namespace sdrbee::io
