#include "sdrbee/io/dequantise.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "sdrbee/core/error.h"
#include "sdrbee/io/ggml_blocks.h"
#include "sdrbee/io/gguf.h"
#include "support/golden.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;

/// Equal bit for bit: zeros of different sign differ.
bool same_bits(const Tensor& a, const Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         at::equal(a.contiguous().view({-1}).view(Dtype::Byte),
                   b.contiguous().view({-1}).view(Dtype::Byte));
}

const GgufFile& types_file() {
  static const GgufFile file(test::golden_path("gguf_types.gguf"));
  return file;
}

/// The golden file has what gguf makes of the same tensors.
class Dequantise : public ::testing::TestWithParam<std::string> {
 protected:
  QuantisedTensor blocks() const { return types_file().read_blocks(GetParam()); }
  Tensor expected() const { return golden_.read("dequantised." + GetParam()); }

 private:
  SafetensorsFile golden_{test::golden_path("gguf.safetensors")};
};

TEST_P(Dequantise, EqualsTheGgufPackageBitForBit) {
  EXPECT_TRUE(same_bits(dequantise(blocks(), Dtype::Float), expected()));
}

TEST_P(Dequantise, RoundsOnceToOtherDtypes) {
  for (const Dtype dtype : {Dtype::Half, Dtype::BFloat16, Dtype::Double})
    EXPECT_TRUE(same_bits(dequantise(blocks(), dtype), expected().to(dtype))) << dtype;
}

TEST_P(Dequantise, IsTheSameInAnyNumberOfBlocks) {
  // Longer than the pieces that are worked on at once, and no multiple of them.
  constexpr int64_t kRepeats = 1201;
  const QuantisedTensor once = blocks();
  std::vector<int64_t> shape = once.shape;
  shape[0] *= kRepeats;
  const QuantisedTensor many = {
      .type = once.type, .shape = shape, .bytes = once.bytes.repeat({kRepeats})};
  std::vector<int64_t> repeats(shape.size(), 1);
  repeats[0] = kRepeats;
  for (const Dtype dtype : {Dtype::Float, Dtype::BFloat16})
    EXPECT_TRUE(same_bits(dequantise(many, dtype), expected().to(dtype).repeat(repeats))) << dtype;
}

template <typename Number>
Tensor expand_at(CpuLevel level, const QuantisedTensor& blocks, Dtype dtype) {
  const auto expand = find_block_expander<Number>(blocks.type, level);
  Tensor values = at::empty(blocks.shape, at::TensorOptions().dtype(dtype));
  expand(static_cast<const std::byte*>(blocks.bytes.const_data_ptr()),
         values.numel() / ggml_layout(blocks.type).block_elements,
         static_cast<Number*>(values.data_ptr()));
  return values;
}

TEST_P(Dequantise, IsTheSameOnEveryProcessor) {
  if (ggml_layout(blocks().type).dtype) return;  // plain types need no kernel
  for (const CpuLevel level : {CpuLevel::Baseline, CpuLevel::Avx512}) {
    if (level > cpu_level()) continue;
    EXPECT_TRUE(same_bits(expand_at<float>(level, blocks(), Dtype::Float), expected()));
    EXPECT_TRUE(same_bits(expand_at<Bf16Bits>(level, blocks(), Dtype::BFloat16),
                          expected().to(Dtype::BFloat16)));
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Types, Dequantise, ::testing::ValuesIn(types_file().names()), test_name);

TEST(DequantiseTypes, AreThoseOfTheGoldenFileAndThePlainOnes) {
  EXPECT_EQ(dequantisable_types(),
            "F32 F16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS I8 I16 I32 "
            "I64 F64 BF16");
  for (const GgmlLayout& layout : ggml_layouts()) {
    if (find_block_expander<float>(layout.type) == nullptr) continue;
    EXPECT_TRUE(types_file().find_type("w." + std::string(layout.name))) << layout.name;
  }
}

TEST(DequantiseTypes, OthersAreRefused) {
  const Tensor bytes = at::zeros({66}, at::TensorOptions().dtype(Dtype::Byte));
  expect_error<UnsupportedModel>(
      [&] {
        dequantise({.type = GgmlType::IQ2_XXS, .shape = {256}, .bytes = bytes}, Dtype::Float);
      },
      "IQ2_XXS", "Q4_K");
}

TEST(DequantiseTypes, ChecksTheNumberOfBytes) {
  const Tensor bytes = at::zeros({17}, at::TensorOptions().dtype(Dtype::Byte));
  expect_error<InternalError>(
      [&] { dequantise({.type = GgmlType::Q4_0, .shape = {32}, .bytes = bytes}, Dtype::Float); },
      "18");
}

TEST(DequantiseTypes, PlainValuesOfTheSameDtypeAreNotCopied) {
  const QuantisedTensor blocks = types_file().read_blocks("w.F16");
  EXPECT_EQ(dequantise(blocks, Dtype::Half).const_data_ptr(), blocks.bytes.const_data_ptr());
}

}  // namespace
}  // namespace sdrbee::io
