// The order of the roundings is that of the Python package gguf (gguf/quants.py), so that results
// are equal bit for bit.
#include "sdrbee/io/quantise.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "sdrbee/core/error.h"
#include "sdrbee/io/quantise_k.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC would fuse products and sums on processors that can, which rounds once instead of twice.
#pragma GCC optimize("fp-contract=off")
#endif

namespace sdrbee::io {
namespace {

constexpr int kBlock = 32;  // values in a block of every type quantised in this file
/// The largest half: larger values could have no scale or offset.
constexpr float kMaxMagnitude = 65504;
/// Values that are worth a thread.
constexpr int64_t kGrainElements = 1 << 15;

using Codes = std::array<uint8_t, kBlock>;

/// Writes the bytes of a block one after the other.
class BlockWriter {
 public:
  explicit BlockWriter(uint8_t* bytes) : bytes_(bytes) {}

  void half(float value) {
    const uint16_t bits = c10::Half(value).x;
    std::memcpy(bytes_, &bits, sizeof(bits));
    bytes_ += sizeof(bits);
  }
  void fifth_bits(const Codes& codes) {
    uint32_t bits = 0;
    for (int i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4) << i;
    std::memcpy(bytes_, &bits, sizeof(bits));
    bytes_ += sizeof(bits);
  }
  void low_bits(const Codes& codes) {
    for (int i = 0; i < kBlock / 2; ++i)
      *bytes_++ = static_cast<uint8_t>((codes[i] & 15) | (codes[i + kBlock / 2] & 15) << 4);
  }
  void signed_byte(float value) {
    *bytes_++ = static_cast<uint8_t>(static_cast<int8_t>(std::clamp(value, -128.0F, 127.0F)));
  }

 private:
  uint8_t* bytes_;
};

/// 0 for a scale so small that its inverse is infinite: as a half it is 0.
float inverse(float scale) {
  const float inverse = 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}

/// trunc(value * factor + bias) in 0 to `highest`; the sum is not negative.
uint8_t code(float value, float factor, float bias, float highest) {
  const float product = value * factor;
  return static_cast<uint8_t>(std::min(product + bias, highest));
}

/// Q4_0 and Q5_0: the value of the largest magnitude becomes the lowest code.
template <int kBits>
void quantise_symmetric(const float* values, uint8_t* bytes) {
  BlockWriter block(bytes);
  constexpr float kZero = 1 << (kBits - 1);
  const float extreme = *std::max_element(
      values, values + kBlock, [](float a, float b) { return std::abs(a) < std::abs(b); });
  const float scale = extreme / -kZero;
  const float factor = inverse(scale);
  Codes codes;
  for (int i = 0; i < kBlock; ++i) codes[i] = code(values[i], factor, kZero + 0.5F, 2 * kZero - 1);
  block.half(scale);
  if constexpr (kBits == 5) block.fifth_bits(codes);
  block.low_bits(codes);
}

/// Q4_1 and Q5_1: from the lowest value to the highest.
template <int kBits>
void quantise_range(const float* values, uint8_t* bytes) {
  BlockWriter block(bytes);
  constexpr float kHighest = (1 << kBits) - 1;
  const auto [lowest, highest] = std::minmax_element(values, values + kBlock);
  const float offset = *lowest;
  const float scale = (*highest - offset) / kHighest;
  const float factor = inverse(scale);
  Codes codes;
  for (int i = 0; i < kBlock; ++i) codes[i] = code(values[i] - offset, factor, 0.5F, kHighest);
  block.half(scale);
  block.half(offset);
  if constexpr (kBits == 5) block.fifth_bits(codes);
  block.low_bits(codes);
}

void quantise_bytes(const float* values, uint8_t* bytes) {
  BlockWriter block(bytes);
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::abs(values[i]));
  const float scale = largest / 127;
  const float factor = inverse(scale);
  block.half(scale);
  for (int i = 0; i < kBlock; ++i) block.signed_byte(std::round(values[i] * factor));
}

struct Row {
  GgmlType type;
  void (*quantise)(const float* values, uint8_t* block);
};

constexpr std::array<Row, 7> kRows = {{
    {GgmlType::Q4_0, &quantise_symmetric<4>},
    {GgmlType::Q4_1, &quantise_range<4>},
    {GgmlType::Q5_0, &quantise_symmetric<5>},
    {GgmlType::Q5_1, &quantise_range<5>},
    {GgmlType::Q8_0, &quantise_bytes},
    {GgmlType::Q4_K, &quantise_q4_k},
    {GgmlType::Q6_K, &quantise_q6_k},
}};

const Row* find_row(GgmlType type) {
  const auto found =
      std::find_if(kRows.begin(), kRows.end(), [type](const Row& row) { return row.type == type; });
  return found == kRows.end() ? nullptr : &*found;
}

void check_values(const Tensor& values, const GgmlLayout& layout) {
  if (values.numel() % layout.block_elements != 0)
    throw InvalidRequest(message("[quantise] expected a multiple of ", layout.block_elements,
                                 " values for type ", layout.name, " but got shape ",
                                 shape_text(values.sizes())));
  const auto* first = static_cast<const float*>(values.const_data_ptr());
  const auto outlier = std::find_if_not(
      first, first + values.numel(), [](float value) { return std::abs(value) <= kMaxMagnitude; });
  if (outlier != first + values.numel())
    throw InvalidRequest(message("[quantise] expected magnitudes of at most ", kMaxMagnitude,
                                 " for type ", layout.name, " but got ", *outlier,
                                 "; keep the tensor as F32"));
}

Tensor quantise_blocks(const Tensor& values, const Row& row) {
  const GgmlLayout& layout = ggml_layout(row.type);
  const int64_t elements = layout.block_elements;
  const int64_t blocks = values.numel() / elements;
  Tensor bytes = at::empty({blocks * layout.block_bytes}, at::TensorOptions().dtype(Dtype::Byte));
  const auto* source = static_cast<const float*>(values.const_data_ptr());
  auto* target = static_cast<uint8_t*>(bytes.mutable_data_ptr());
  at::parallel_for(0, blocks, kGrainElements / elements, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      row.quantise(source + i * elements, target + i * layout.block_bytes);
  });
  return bytes;
}

}  // namespace

bool can_quantise(GgmlType type) {
  return ggml_layout(type).dtype.has_value() || find_row(type) != nullptr;
}

std::string quantisable_types() {
  std::string names;
  for (const GgmlLayout& layout : ggml_layouts())
    if (can_quantise(layout.type)) names += (names.empty() ? "" : " ") + std::string(layout.name);
  return names;
}

QuantisedTensor quantise(const Tensor& tensor, GgmlType type) {
  const GgmlLayout& layout = ggml_layout(type);
  if (layout.dtype) return as_blocks(tensor.to(*layout.dtype));
  const Row* row = find_row(type);
  if (row == nullptr)
    throw InvalidRequest(
        message("[quantise] expected a type of ", quantisable_types(), " but got ", layout.name));
  const Tensor values = tensor.to(Dtype::Float).contiguous();
  check_values(values, layout);
  return {.type = type, .shape = tensor.sizes().vec(), .bytes = quantise_blocks(values, *row)};
}

QuantisedTensor as_blocks(const Tensor& tensor) {
  for (const GgmlLayout& layout : ggml_layouts())
    if (layout.dtype == tensor.scalar_type())
      return {.type = layout.type,
              .shape = tensor.sizes().vec(),
              .bytes = tensor.contiguous().view({-1}).view(Dtype::Byte)};
  throw InvalidRequest(
      message("[quantise] GGUF has no type for dtype ", dtype_name(tensor.scalar_type())));
}

}  // namespace sdrbee::io
