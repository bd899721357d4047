#include "sdrbee/io/ggml_type.h"

#include <algorithm>
#include <array>

#include "sdrbee/core/check.h"

namespace sdrbee::io {
namespace {

// https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py (GGML_QUANT_SIZES)
constexpr std::array<GgmlLayout, 34> kLayouts = {{
    {GgmlType::F32, "F32", 1, 4, Dtype::Float},
    {GgmlType::F16, "F16", 1, 2, Dtype::Half},
    {GgmlType::Q4_0, "Q4_0", 32, 18, std::nullopt},
    {GgmlType::Q4_1, "Q4_1", 32, 20, std::nullopt},
    {GgmlType::Q5_0, "Q5_0", 32, 22, std::nullopt},
    {GgmlType::Q5_1, "Q5_1", 32, 24, std::nullopt},
    {GgmlType::Q8_0, "Q8_0", 32, 34, std::nullopt},
    {GgmlType::Q8_1, "Q8_1", 32, 40, std::nullopt},
    {GgmlType::Q2_K, "Q2_K", 256, 84, std::nullopt},
    {GgmlType::Q3_K, "Q3_K", 256, 110, std::nullopt},
    {GgmlType::Q4_K, "Q4_K", 256, 144, std::nullopt},
    {GgmlType::Q5_K, "Q5_K", 256, 176, std::nullopt},
    {GgmlType::Q6_K, "Q6_K", 256, 210, std::nullopt},
    {GgmlType::Q8_K, "Q8_K", 256, 292, std::nullopt},
    {GgmlType::IQ2_XXS, "IQ2_XXS", 256, 66, std::nullopt},
    {GgmlType::IQ2_XS, "IQ2_XS", 256, 74, std::nullopt},
    {GgmlType::IQ3_XXS, "IQ3_XXS", 256, 98, std::nullopt},
    {GgmlType::IQ1_S, "IQ1_S", 256, 50, std::nullopt},
    {GgmlType::IQ4_NL, "IQ4_NL", 32, 18, std::nullopt},
    {GgmlType::IQ3_S, "IQ3_S", 256, 110, std::nullopt},
    {GgmlType::IQ2_S, "IQ2_S", 256, 82, std::nullopt},
    {GgmlType::IQ4_XS, "IQ4_XS", 256, 136, std::nullopt},
    {GgmlType::I8, "I8", 1, 1, Dtype::Char},
    {GgmlType::I16, "I16", 1, 2, Dtype::Short},
    {GgmlType::I32, "I32", 1, 4, Dtype::Int},
    {GgmlType::I64, "I64", 1, 8, Dtype::Long},
    {GgmlType::F64, "F64", 1, 8, Dtype::Double},
    {GgmlType::IQ1_M, "IQ1_M", 256, 56, std::nullopt},
    {GgmlType::BF16, "BF16", 1, 2, Dtype::BFloat16},
    {GgmlType::TQ1_0, "TQ1_0", 256, 54, std::nullopt},
    {GgmlType::TQ2_0, "TQ2_0", 256, 66, std::nullopt},
    {GgmlType::MXFP4, "MXFP4", 32, 17, std::nullopt},
    {GgmlType::NVFP4, "NVFP4", 64, 36, std::nullopt},
    {GgmlType::Q1_0, "Q1_0", 128, 18, std::nullopt},
}};

}  // namespace

std::span<const GgmlLayout> ggml_layouts() { return kLayouts; }

const GgmlLayout* find_ggml_layout(uint32_t number) {
  const auto found = std::find_if(
      kLayouts.begin(), kLayouts.end(),
      [number](const GgmlLayout& layout) { return static_cast<uint32_t>(layout.type) == number; });
  return found == kLayouts.end() ? nullptr : &*found;
}

const GgmlLayout& ggml_layout(GgmlType type) {
  const GgmlLayout* found = find_ggml_layout(static_cast<uint32_t>(type));
  SDRBEE_CHECK(found != nullptr, "no type ", static_cast<uint32_t>(type));
  return *found;
}

std::string_view ggml_type_name(GgmlType type) { return ggml_layout(type).name; }

bool has_whole_rows(const QuantisedTensor& tensor) {
  const int64_t rows = tensor.shape.empty() ? 1 : tensor.shape.front();
  const int64_t elements = c10::multiply_integers(tensor.shape);
  return rows > 0 && elements / rows % ggml_layout(tensor.type).block_elements == 0;
}

QuantisedTensor narrow_rows(const QuantisedTensor& tensor, int64_t begin, int64_t count) {
  SDRBEE_CHECK(has_whole_rows(tensor) && !tensor.shape.empty());
  const auto row_bytes = static_cast<int64_t>(tensor.bytes.nbytes()) / tensor.shape.front();
  QuantisedTensor rows = {tensor.type, tensor.shape,
                          tensor.bytes.narrow(0, begin * row_bytes, count * row_bytes),
                          tensor.added};
  rows.shape.front() = count;
  if (rows.added.up.defined()) rows.added.up = rows.added.up.narrow(0, begin, count);
  return rows;
}

void check_blocks(const QuantisedTensor& tensor) {
  const GgmlLayout& layout = ggml_layout(tensor.type);
  const int64_t blocks = c10::multiply_integers(tensor.shape) / layout.block_elements;
  SDRBEE_CHECK(tensor.bytes.is_cpu() && tensor.bytes.is_contiguous());
  SDRBEE_CHECK(tensor.bytes.scalar_type() == Dtype::Byte);
  SDRBEE_CHECK_SHAPE(tensor.bytes, {blocks * layout.block_bytes});
}

}  // namespace sdrbee::io
