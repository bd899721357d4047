#include "sdrbee/nn/cpu/block_linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "sdrbee/core/bf16.h"
#include "sdrbee/core/check.h"
#include "sdrbee/core/cpu_level.h"
#include "sdrbee/io/ggml_blocks.h"
#include "sdrbee/nn/cpu/block_gemm.h"
#include "sdrbee/nn/cpu/pack_rows.h"

namespace sdrbee::nn::cpu {
namespace {

/// Weights [columns, depth] that are expanded together: they stay in the second-level cache while
/// all rows of x pass, of which a block of 32 stays in the first.
constexpr int64_t kPanelColumns = 256;
constexpr int64_t kPanelDepth = 512;  // whole blocks of every type

/// What all panels of one product share.
struct LinearProblem {
  const io::GgmlLayout& layout;
  io::BlockExpander<Bf16Bits> expand;
  const std::byte* blocks;  // of the weight
  const Tensor& bias;
  int64_t rows, columns, depth;
  int64_t padded_rows;
  bool uses_tiles;

  /// The weights of `column` from `k` on.
  const std::byte* blocks_at(int64_t column, int64_t k) const {
    return blocks + (column * depth + k) / layout.block_elements * layout.block_bytes;
  }
};

/// Columns of one panel: few enough for every thread to have one.
int64_t panel_columns(int64_t columns) {
  const int64_t share = round_up(columns, at::get_num_threads()) / at::get_num_threads();
  return std::clamp<int64_t>(round_up(share, kBlockRows), kBlockRows, kPanelColumns);
}

/// Copies blocks of 32 rows and kPanelDepth values of depth, dense and behind each other: first all
/// rows of the first depth. Rows that aren't there are zero.
void pack_input(const LinearProblem& problem, const Bf16Bits* x, Bf16Bits* packed) {
  at::parallel_for(0, problem.padded_rows, kBlockRows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t k = 0; k < problem.depth; k += kPanelDepth) {
        const int64_t depth = std::min(kPanelDepth, problem.depth - k);
        Bf16Bits* target = packed + k * problem.padded_rows + row * depth;
        const auto bytes = static_cast<size_t>(depth) * sizeof(Bf16Bits);
        if (row < problem.rows) {
          std::memcpy(target, x + row * problem.depth + k, bytes);
        } else {
          std::memset(target, 0, bytes);
        }
      }
    }
  });
}

/// Buffers of one thread.
class PanelSpace {
 public:
  PanelSpace(const LinearProblem& problem, int64_t panel)
      : weights_(at::empty({(panel + kTileColumns) * kPanelDepth}, at::kBFloat16)),
        sums_(at::empty({problem.padded_rows * panel}, at::kFloat)),
        weights(static_cast<Bf16Bits*>(weights_.data_ptr())),
        line(weights + panel * kPanelDepth),
        sums(sums_.data_ptr<float>()) {}

 private:
  Tensor weights_, sums_;

 public:
  Bf16Bits* weights;  ///< [tiles][depth / 2][16][2], as BlockProduct wants them
  Bf16Bits* line;     ///< [16][depth], one tile before it is packed
  float* sums;        ///< [padded_rows, panel]
};

/// Columns of the result that are computed together.
struct Panel {
  int64_t first, count;

  int64_t tiles() const { return round_up(count, kTileColumns) / kTileColumns; }
};

/// The weights of a panel from `k` on.
void expand_panel(const LinearProblem& problem, const Panel& panel, int64_t k, int64_t depth,
                  const PanelSpace& work) {
  for (int64_t tile = 0; tile < panel.tiles(); ++tile) {
    const int64_t done = tile * kTileColumns;
    const int64_t columns = std::min(kTileColumns, panel.count - done);
    for (int64_t i = 0; i < columns; ++i) {
      problem.expand(problem.blocks_at(panel.first + done + i, k),
                     depth / problem.layout.block_elements, work.line + i * depth);
    }
    pack_keys(work.line, depth,
              {.tokens = columns, .tokens_padded = kTileColumns, .dims = depth, .depth = depth},
              work.weights + done * depth);
  }
}

/// Sums of all rows of x for one panel.
void multiply_panel(const LinearProblem& problem, const Bf16Bits* packed, const Panel& panel,
                    const PanelSpace& work) {
  const int64_t stride = panel.tiles() * kTileColumns;
  for (int64_t k = 0; k < problem.depth; k += kPanelDepth) {
    const int64_t depth = std::min(kPanelDepth, problem.depth - k);
    expand_panel(problem, panel, k, depth, work);
    for (int64_t row = 0; row < problem.padded_rows; row += kBlockRows) {
      const BlockProduct<Bf16Bits> product{.a = packed + k * problem.padded_rows + row * depth,
                                           .a_stride = depth,
                                           .b = work.weights,
                                           .b_tile_stride = depth * kTileColumns,
                                           .c = work.sums + row * stride,
                                           .c_stride = stride,
                                           .depth = depth,
                                           .tiles = panel.tiles(),
                                           .accumulate = k > 0};
      problem.uses_tiles ? multiply_amx_bf16(product) : multiply_avx512_bf16(product);
    }
  }
}

#if defined(__x86_64__)
[[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")]]
#endif
void round_row(
    const float* __restrict sums, const float* __restrict bias, int64_t count,
    Bf16Bits* __restrict out) {
  for (int64_t i = 0; i < count; ++i) narrow(sums[i] + bias[i], out[i]);
}

void write_panel(const LinearProblem& problem, const Panel& panel, const float* sums,
                 Bf16Bits* out) {
  float bias[kPanelColumns] = {};
  if (problem.bias.defined()) {
    const auto* values = static_cast<const Bf16Bits*>(problem.bias.const_data_ptr());
    for (int64_t i = 0; i < panel.count; ++i) bias[i] = widen(values[panel.first + i]);
  }
  const int64_t stride = panel.tiles() * kTileColumns;
  for (int64_t row = 0; row < problem.rows; ++row)
    round_row(sums + row * stride, bias, panel.count, out + row * problem.columns + panel.first);
}

}  // namespace

bool has_block_linear(const Tensor& x, const io::QuantisedTensor& weight) {
  return x.device().is_cpu() && x.scalar_type() == Dtype::BFloat16 && x.numel() > 0 &&
         cpu_level() >= CpuLevel::Avx512Bf16 && !weight.added.up.defined() &&
         io::has_whole_rows(weight) && io::find_block_expander<Bf16Bits>(weight.type) != nullptr;
}

Tensor block_linear(const Tensor& x, const io::QuantisedTensor& weight, const Tensor& bias) {
  SDRBEE_CHECK(has_block_linear(x, weight));
  const int64_t columns = weight.shape.front();
  const int64_t depth = c10::multiply_integers(weight.shape) / columns;
  SDRBEE_CHECK_SHAPE(x, {-1, depth});
  const Tensor dense_bias = bias.defined() ? bias.contiguous() : bias;
  const LinearProblem problem{
      .layout = io::ggml_layout(weight.type),
      .expand = io::find_block_expander<Bf16Bits>(weight.type),
      .blocks = static_cast<const std::byte*>(weight.bytes.const_data_ptr()),
      .bias = dense_bias,
      .rows = x.size(0),
      .columns = columns,
      .depth = depth,
      .padded_rows = round_up(x.size(0), kBlockRows),
      .uses_tiles = cpu_level() == CpuLevel::AmxBf16};
  const Tensor input = x.contiguous();
  const Tensor packed = at::empty({problem.padded_rows, depth}, input.options());
  auto* packed_start = static_cast<Bf16Bits*>(packed.data_ptr());
  pack_input(problem, static_cast<const Bf16Bits*>(input.const_data_ptr()), packed_start);
  Tensor out = at::empty({problem.rows, columns}, input.options());
  auto* out_start = static_cast<Bf16Bits*>(out.data_ptr());
  const int64_t width = panel_columns(columns);
  std::atomic<int64_t> next = 0;
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t begin, int64_t end) {
    if (begin == end) return;
    const TileSession session(problem.uses_tiles);
    const PanelSpace work(problem, width);
    for (int64_t first = width * next++; first < columns; first = width * next++) {
      const Panel panel{.first = first, .count = std::min(width, columns - first)};
      multiply_panel(problem, packed_start, panel, work);
      write_panel(problem, panel, work.sums, out_start);
    }
  });
  return out;
}

}  // namespace sdrbee::nn::cpu
