#include "sdrbee/nn/quantised_weight.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linear.h>

#include <algorithm>

#include "sdrbee/io/dequantise.h"
#include "sdrbee/nn/cpu/block_linear.h"
#include "sdrbee/nn/layout.h"

namespace sdrbee::nn {
namespace {

/// What is expanded together: much less than a large layer has, and enough rows for a matrix
/// product to be fast.
constexpr int64_t kExpandedBytes = 1 << 23;

int64_t row_count(const QuantisedWeight& weight) { return weight.blocks.shape.front(); }

/// Rows that are expanded together.
int64_t chunk_rows(const QuantisedWeight& weight) {
  const int64_t rows = row_count(weight);
  if (!io::has_whole_rows(weight.blocks)) return rows;
  const int64_t row_bytes = c10::multiply_integers(weight.blocks.shape) / rows *
                            static_cast<int64_t>(c10::elementSize(weight.dtype));
  return std::clamp<int64_t>(kExpandedBytes / row_bytes, 1, rows);
}

Tensor rows_of(const Tensor& bias, int64_t begin, int64_t count) {
  return bias.defined() ? bias.narrow(0, begin, count) : bias;
}

/// `run(rows, bias)` for all rows, side by side along `dimension` of the results.
template <typename Run>
Tensor run_by_rows(const QuantisedWeight& weight, const Tensor& bias, int64_t dimension,
                   const Run& run) {
  const int64_t rows = row_count(weight);
  const int64_t chunk = chunk_rows(weight);
  Tensor whole;
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t count = std::min(chunk, rows - begin);
    const Tensor values =
        io::dequantise(io::narrow_rows(weight.blocks, begin, count), weight.dtype);
    const Tensor part = run(values, rows_of(bias, begin, count));
    if (count == rows) return part;
    if (!whole.defined()) {
      std::vector<int64_t> shape = part.sizes().vec();
      shape[static_cast<size_t>(dimension)] = rows;
      whole = at::empty(shape, part.options(), part.suggest_memory_format());
    }
    whole.narrow(dimension, begin, count).copy_(part);
  }
  return whole;
}

}  // namespace

Tensor run_quantised_matrix(const Tensor& x, const QuantisedWeight& weight, const Tensor& bias) {
  const int64_t rows = row_count(weight);
  const Tensor flat = x.reshape({-1, x.size(-1)});
  const Tensor y =
      cpu::has_block_linear(flat, weight.blocks)
          ? cpu::block_linear(flat, weight.blocks, bias)
          : run_by_rows(weight, bias, 1, [&](const Tensor& values, const Tensor& own_bias) {
              return at::linear(flat, values.view({values.size(0), -1}), own_bias);
            });
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = rows;
  return y.view(shape);
}

Tensor run_quantised_convolution(const Tensor& x, const QuantisedWeight& weight, const Tensor& bias,
                                 int64_t stride, int64_t padding) {
  const Tensor input = channels_last(x);
  return channels_last(
      run_by_rows(weight, bias, 1, [&](const Tensor& values, const Tensor& own_bias) {
        return at::conv2d(input, values, own_bias, {stride, stride}, {padding, padding});
      }));
}

Tensor look_up_quantised(const QuantisedWeight& table, const Tensor& ids) {
  const int64_t width = table.blocks.shape.back();
  std::vector<int64_t> shape = ids.sizes().vec();
  shape.push_back(width);
  if (!io::has_whole_rows(table.blocks))
    return at::index_select(io::dequantise(table.blocks, table.dtype), 0, ids.reshape(-1))
        .view(shape);
  const io::AddedRows& added = table.blocks.added;
  const Tensor rows = table.blocks.bytes.view({row_count(table), -1});
  const Tensor chosen = at::index_select(rows, 0, ids.reshape(-1));
  return io::dequantise(
             {.type = table.blocks.type,
              .shape = {chosen.size(0), width},
              .bytes = chosen.view({-1}),
              .added = {added.up.defined() ? added.up.index_select(0, ids.reshape(-1)) : added.up,
                        added.down}},
             table.dtype)
      .view(shape);
}

}  // namespace sdrbee::nn
