#include "sdrbee/io/dequantise.h"

#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
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

/// Expands blocks to numbers that blocks can be expanded to at once.
template <typename Number>
struct DirectExpansion {
  explicit DirectExpansion(GgmlType type) : expand(find_block_expander<Number>(type)) {}

  void operator()(const std::byte* blocks, int64_t count, Number* values) const {
    expand(blocks, count, values);
  }

  BlockExpander<Number> expand;
};

/// Expands blocks to fp32, then rounds.
struct HalfExpansion {
  explicit HalfExpansion(GgmlType type)
      : expand(find_block_expander<float>(type)), layout(ggml_layout(type)) {}

  void operator()(const std::byte* blocks, int64_t count, c10::Half* values) const {
    const int64_t chunk = kChunkElements / layout.block_elements;
    std::array<float, kChunkElements> buffer;
    for (int64_t first = 0; first < count; first += chunk) {
      const int64_t taken = std::min(chunk, count - first);
      expand(blocks + first * layout.block_bytes, taken, buffer.data());
      std::transform(buffer.begin(), buffer.begin() + taken * layout.block_elements,
                     values + first * layout.block_elements,
                     [](float value) { return static_cast<c10::Half>(value); });
    }
  }

  BlockExpander<float> expand;
  const GgmlLayout& layout;
};

template <typename Number, typename Expansion>
Tensor expand_all(const QuantisedTensor& tensor, Dtype dtype) {
  const Expansion expand(tensor.type);
  const GgmlLayout& layout = ggml_layout(tensor.type);
  const auto* blocks = static_cast<const std::byte*>(tensor.bytes.const_data_ptr());
  Tensor result = at::empty(tensor.shape, at::TensorOptions().dtype(dtype));
  auto* values = static_cast<Number*>(result.mutable_data_ptr());
  at::parallel_for(0, result.numel() / layout.block_elements,
                   kGrainElements / layout.block_elements, [&](int64_t begin, int64_t end) {
                     expand(blocks + begin * layout.block_bytes, end - begin,
                            values + begin * layout.block_elements);
                   });
  return result;
}

/// `values` [rows, ...] and what is added to its rows.
Tensor with_added(const Tensor& values, const AddedRows& added) {
  const Tensor rows = values.reshape({values.size(0), -1});
  return (added.down.defined() ? at::addmm(rows, added.up, added.down) : rows + added.up)
      .view(values.sizes());
}

}  // namespace

bool can_dequantise(GgmlType type) {
  return ggml_layout(type).dtype.has_value() || find_block_expander<float>(type) != nullptr;
}

std::string dequantisable_types() {
  std::string names;
  for (const GgmlLayout& layout : ggml_layouts())
    if (can_dequantise(layout.type)) names += (names.empty() ? "" : " ") + std::string(layout.name);
  return names;
}

void require_dequantisable(GgmlType type, std::string_view name, std::string_view origin) {
  if (can_dequantise(type)) return;
  throw UnsupportedModel(message("[", origin, "] tensor '", name, "': expected a type of ",
                                 dequantisable_types(), " but got ", ggml_type_name(type),
                                 "; take a file of another quantisation"));
}

Tensor dequantise(const QuantisedTensor& tensor, Dtype dtype) {
  if (tensor.added.up.defined())
    return with_added(dequantise({tensor.type, tensor.shape, tensor.bytes}, Dtype::Float),
                      tensor.added)
        .to(dtype);
  if (!can_dequantise(tensor.type))
    throw UnsupportedModel(message("[dequantise] expected a tensor of type ", dequantisable_types(),
                                   " but got ", ggml_type_name(tensor.type)));
  check_blocks(tensor);
  if (const auto plain = ggml_layout(tensor.type).dtype)
    return tensor.bytes.view(*plain).view(tensor.shape).to(dtype);
  if (dtype == Dtype::Half) return expand_all<c10::Half, HalfExpansion>(tensor, dtype);
  if (dtype == Dtype::BFloat16)
    return expand_all<Bf16Bits, DirectExpansion<Bf16Bits>>(tensor, dtype);
  return expand_all<float, DirectExpansion<float>>(tensor, Dtype::Float).to(dtype);
}

}  // namespace sdrbee::io
