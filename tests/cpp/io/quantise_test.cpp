#include "sdrbee/io/quantise.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <limits>

#include "sdrbee/core/error.h"
#include "sdrbee/io/dequantise.h"
#include "sdrbee/io/safetensors.h"
#include "support/golden.h"
#include "temporary_folder.h"

namespace sdrbee::io {
namespace {

using testing::expect_error;

const SafetensorsFile& golden() {
  static const SafetensorsFile file(test::golden_path("gguf.safetensors"));
  return file;
}

TEST(Quantise, EqualsTheGgufPackageBitForBit) {
  const Tensor values = golden().read("values");
  for (const GgmlType type :
       {GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q5_0, GgmlType::Q5_1, GgmlType::Q8_0}) {
    const std::string name(ggml_type_name(type));
    const Tensor expected = golden().read("quantised." + name);
    for (const int64_t repeats : {1, 301}) {  // 301: enough for more than one thread
      const QuantisedTensor got = quantise(values.repeat({repeats, 1}), type);
      EXPECT_EQ(got.type, type);
      EXPECT_EQ(got.shape, (std::vector<int64_t>{values.size(0) * repeats, values.size(1)}));
      EXPECT_TRUE(at::equal(got.bytes, expected.repeat({repeats, 1}).view({-1}))) << name;
    }
  }
}

TEST(Quantise, TakesOtherDtypesAndStrides) {
  const Tensor values = golden().read("values").to(Dtype::Half);
  const Tensor expected = quantise(values.to(Dtype::Float), GgmlType::Q8_0).bytes;
  EXPECT_TRUE(at::equal(quantise(values, GgmlType::Q8_0).bytes, expected));
  const Tensor strided = values.t().contiguous().t();
  EXPECT_TRUE(at::equal(quantise(strided, GgmlType::Q8_0).bytes, expected));
}

TEST(Quantise, KeepsPlainTypes) {
  const Tensor values = golden().read("values");
  for (const auto& [type, dtype] :
       std::vector<std::pair<GgmlType, Dtype>>{{GgmlType::F32, Dtype::Float},
                                               {GgmlType::F16, Dtype::Half},
                                               {GgmlType::BF16, Dtype::BFloat16},
                                               {GgmlType::F64, Dtype::Double}}) {
    const QuantisedTensor got = quantise(values, type);
    EXPECT_EQ(got.type, type);
    EXPECT_TRUE(at::equal(dequantise(got, dtype), values.to(dtype)));
  }
  const Tensor scalar = at::full({}, 3, at::TensorOptions().dtype(Dtype::Long));
  EXPECT_EQ(as_blocks(scalar).type, GgmlType::I64);
  EXPECT_TRUE(at::equal(dequantise(as_blocks(scalar), Dtype::Long), scalar));
}

TEST(Quantise, NamesTheTypesThatItKnows) {
  EXPECT_EQ(quantisable_types(),
            "F32 F16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q6_K I8 I16 I32 I64 F64 BF16");
  expect_error<InvalidRequest>([] { quantise(at::zeros({256}), GgmlType::IQ4_XS); }, "IQ4_XS",
                               "Q8_0");
  expect_error<InvalidRequest>([] { as_blocks(at::zeros({2}).to(Dtype::Bool)); }, "Bool");
}

TEST(Quantise, RefusesWhatBlocksCannotHold) {
  expect_error<InvalidRequest>([] { quantise(at::zeros({33}), GgmlType::Q4_0); }, "32", "[33]");
  for (const float value : {std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN(), -65536.0F, 1e30F}) {
    Tensor values = at::zeros({64});
    values[40] = value;
    expect_error<InvalidRequest>([&] { quantise(values, GgmlType::Q8_0); }, "65504", "Q8_0");
  }
}

TEST(Quantise, ValuesWhoseScaleHasNoInverseBecomeZero) {
  const Tensor values = at::full({32}, 1e-40);
  for (const GgmlType type : {GgmlType::Q4_0, GgmlType::Q5_0, GgmlType::Q8_0})
    EXPECT_TRUE(at::equal(dequantise(quantise(values, type), Dtype::Float), at::zeros({32})));
}

}  // namespace
}  // namespace sdrbee::io
