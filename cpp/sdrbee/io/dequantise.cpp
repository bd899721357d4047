#include "sdrbee/io/dequantise.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>

#include "sdrbee/core/error.h"
#include "sdrbee/io/ggml_blocks.h"

namespace sdrbee::io {
namespace {

/// Values that are expanded to fp32 before they are rounded; they stay in the first-level cache.
constexpr int64_t kChunkElements = 2048;
/// Values that are worth a thread.
constexpr int64_t kGrainElements = 1 << 15;

/// What all blocks of a tensor have in common.
struct Expansion {
  BlockExpander expand;
  const GgmlLayout& layout;
  const std::byte* blocks;
};

/// Expands the blocks `begin` to `end` of the tensor to `values`, which is its first value.
template <typename Number>
void expand_range(const Expansion& expansion, int64_t begin, int64_t end, Number* values) {
  const auto& [expand, layout, blocks] = expansion;
  const int64_t chunk = kChunkElements / layout.block_elements;
  std::array<float, kChunkElements> buffer;
  for (int64_t first = begin; first < end; first += chunk) {
    const int64_t count = std::min(chunk, end - first);
    expand(blocks + first * layout.block_bytes, count, buffer.data());
    std::transform(buffer.begin(), buffer.begin() + count * layout.block_elements,
                   values + first * layout.block_elements,
                   [](float value) { return static_cast<Number>(value); });
  }
}

template <>
void expand_range(const Expansion& expansion, int64_t begin, int64_t end, float* values) {
  const auto& [expand, layout, blocks] = expansion;
  expand(blocks + begin * layout.block_bytes, end - begin, values + begin * layout.block_elements);
}

template <typename Number>
Tensor expand_all(const QuantisedTensor& tensor, Dtype dtype) {
  const Expansion expansion = {find_block_expander(tensor.type), ggml_layout(tensor.type),
                               static_cast<const std::byte*>(tensor.bytes.const_data_ptr())};
  Tensor result = at::empty(tensor.shape, at::TensorOptions().dtype(dtype));
  auto* values = static_cast<Number*>(result.mutable_data_ptr());
  at::parallel_for(
      0, result.numel() / expansion.layout.block_elements,
      kGrainElements / expansion.layout.block_elements,
      [&](int64_t begin, int64_t end) { expand_range<Number>(expansion, begin, end, values); });
  return result;
}

}  // namespace

bool can_dequantise(GgmlType type) {
  return ggml_layout(type).dtype.has_value() || find_block_expander(type) != nullptr;
}

std::string dequantisable_types() {
  std::string names;
  for (const GgmlLayout& layout : ggml_layouts())
    if (can_dequantise(layout.type)) names += (names.empty() ? "" : " ") + std::string(layout.name);
  return names;
}

Tensor dequantise(const QuantisedTensor& tensor, Dtype dtype) {
  if (!can_dequantise(tensor.type))
    throw UnsupportedModel(message("[dequantise] expected a tensor of type ", dequantisable_types(),
                                   " but got ", ggml_type_name(tensor.type)));
  check_blocks(tensor);
  if (const auto plain = ggml_layout(tensor.type).dtype)
    return tensor.bytes.view(*plain).view(tensor.shape).to(dtype);
  if (dtype == Dtype::Half) return expand_all<c10::Half>(tensor, dtype);
  if (dtype == Dtype::BFloat16) return expand_all<c10::BFloat16>(tensor, dtype);
  return expand_all<float>(tensor, Dtype::Float).to(dtype);
}

}  // namespace sdrbee::io
