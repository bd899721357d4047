#include "sdrbee/nn/cpu/flash_attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "sdrbee/core/check.h"
#include "sdrbee/core/cpu_level.h"
#include "sdrbee/nn/cpu/block_gemm.h"
#include "sdrbee/nn/cpu/pack_rows.h"
#include "sdrbee/nn/cpu/softmax_rows.h"

namespace sdrbee::nn::cpu {
namespace {

/// Keys that one block of scores spans: 32 rows of scores and their weights fit the L1 cache.
template <typename Element>
constexpr int64_t kBlockKeys = std::is_same_v<Element, float> ? 128 : 256;

/// Wider heads spill the blocks out of the cache; ATen is as fast there.
constexpr int64_t kLargestHead = 256;

/// What all rows of one call share.
template <typename Element>
struct Problem {
  const Tensor& query;
  const Tensor& key;
  const Tensor& value;
  float scale;  ///< with log2(e), so that weights are powers of two
  int64_t heads, queries, keys, dims;
  int64_t depth;        ///< dims as the product wants them
  int64_t keys_padded;  ///< to a multiple of 32
  int64_t dim_tiles;
  bool uses_tiles;

  int64_t key_elements() const { return keys_padded * depth; }
  int64_t head_elements() const { return keys_padded * (depth + dim_tiles * kTileColumns); }
};

template <typename Element>
const Element* row_of(const Tensor& tensor, int64_t batch, int64_t token, int64_t head) {
  return static_cast<const Element*>(tensor.const_data_ptr()) + batch * tensor.stride(0) +
         token * tensor.stride(1) + head * tensor.stride(2);
}

/// Packs the keys and values of one head behind each other.
template <typename Element>
void pack_head(const Problem<Element>& problem, int64_t index, Element* packed) {
  const int64_t batch = index / problem.heads;
  const int64_t head = index % problem.heads;
  const PackShape shape{.tokens = problem.keys,
                        .tokens_padded = problem.keys_padded,
                        .dims = problem.dims,
                        .depth = problem.depth};
  pack_keys(row_of<Element>(problem.key, batch, 0, head), problem.key.stride(1), shape, packed);
  pack_values(row_of<Element>(problem.value, batch, 0, head), problem.value.stride(1), shape,
              packed + problem.key_elements());
}

void multiply(const BlockProduct<float>& product, bool) { multiply_avx512(product); }
void multiply(const BlockProduct<Bf16Bits>& product, bool uses_tiles) {
  uses_tiles ? multiply_amx_bf16(product) : multiply_avx512_bf16(product);
}

/// Buffers of one thread.
template <typename Element>
class Workspace {
 public:
  explicit Workspace(const Problem<Element>& problem)
      : query(problem.depth * kBlockRows), sums_stride(problem.dim_tiles * kTileColumns) {
    const auto bytes = [](int64_t count, size_t size) {
      return round_up(count * static_cast<int64_t>(size), 64);
    };
    const int64_t query_bytes = bytes(query, sizeof(Element));
    const int64_t score_bytes = bytes(kBlockRows * kBlockKeys<Element>, sizeof(float));
    const int64_t weight_bytes = bytes(kBlockRows * kBlockKeys<Element>, sizeof(Element));
    storage_ = at::empty(
        {query_bytes + score_bytes + weight_bytes + bytes(kBlockRows * sums_stride, sizeof(float))},
        c10::ScalarType::Byte);
    auto* start = storage_.data_ptr<uint8_t>();
    rows = reinterpret_cast<Element*>(start);
    scores = reinterpret_cast<float*>(start + query_bytes);
    weights = reinterpret_cast<Element*>(start + query_bytes + score_bytes);
    sums = reinterpret_cast<float*>(start + query_bytes + score_bytes + weight_bytes);
  }

  int64_t query;
  int64_t sums_stride;
  Element* rows;
  float* scores;
  Element* weights;
  float* sums;
  RowState state;

 private:
  Tensor storage_;
};

/// Copies up to 32 query rows, zero where there are none.
template <typename Element>
void take_rows(const Problem<Element>& problem, const Element* source, int64_t rows,
               Element* target) {
  std::memset(target, 0, static_cast<size_t>(problem.depth * kBlockRows) * sizeof(Element));
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(target + row * problem.depth, source + row * problem.query.stride(1),
                static_cast<size_t>(problem.dims) * sizeof(Element));
  }
}

/// One block of 32 queries against all keys of its head.
template <typename Element>
void attend_rows(const Problem<Element>& problem, const Element* packed, int64_t rows,
                 Workspace<Element>& work, Element* out) {
  start_rows(work.state);
  const Element* values = packed + problem.key_elements();
  for (int64_t first = 0; first < problem.keys_padded; first += kBlockKeys<Element>) {
    const int64_t keys = std::min(kBlockKeys<Element>, problem.keys_padded - first);
    multiply(BlockProduct<Element>{.a = work.rows,
                                   .a_stride = problem.depth,
                                   .b = packed + first * problem.depth,
                                   .b_tile_stride = problem.depth * kTileColumns,
                                   .c = work.scores,
                                   .c_stride = kBlockKeys<Element>,
                                   .depth = problem.depth,
                                   .tiles = keys / kTileColumns,
                                   .accumulate = false},
             problem.uses_tiles);
    const bool moved = softmax_rows(work.state,
                                    {.scores = work.scores,
                                     .stride = kBlockKeys<Element>,
                                     .keys = keys,
                                     .valid = problem.keys - first,
                                     .scale = problem.scale},
                                    work.weights);
    if (moved && first > 0) correct_rows(work.state, work.sums, work.sums_stride);
    multiply(BlockProduct<Element>{.a = work.weights,
                                   .a_stride = kBlockKeys<Element>,
                                   .b = values + first * kTileColumns,
                                   .b_tile_stride = problem.keys_padded * kTileColumns,
                                   .c = work.sums,
                                   .c_stride = work.sums_stride,
                                   .depth = keys,
                                   .tiles = problem.dim_tiles,
                                   .accumulate = first > 0},
             problem.uses_tiles);
  }
  finish_rows(work.state, work.sums, work.sums_stride, out, problem.heads * problem.dims, rows,
              problem.dims);
}

template <typename Element>
Tensor run(const Problem<Element>& problem) {
  const int64_t batch = problem.query.size(0);
  const int64_t heads = batch * problem.heads;
  Tensor out = at::empty(problem.query.sizes(), problem.query.options());
  const Tensor packed =
      at::empty({heads * problem.head_elements() * static_cast<int64_t>(sizeof(Element))},
                c10::ScalarType::Byte);
  auto* packed_start = reinterpret_cast<Element*>(packed.data_ptr<uint8_t>());
  auto* out_start = static_cast<Element*>(out.data_ptr());
  at::parallel_for(0, heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      pack_head(problem, i, packed_start + i * problem.head_elements());
    }
  });
  const int64_t blocks = (problem.queries + kBlockRows - 1) / kBlockRows;
  at::parallel_for(0, heads * blocks, 1, [&](int64_t begin, int64_t end) {
    const TileSession session(problem.uses_tiles);
    Workspace<Element> work(problem);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t index = i / blocks;
      const int64_t first = i % blocks * kBlockRows;
      const int64_t rows = std::min(kBlockRows, problem.queries - first);
      const int64_t image = index / problem.heads;
      const int64_t head = index % problem.heads;
      take_rows(problem, row_of<Element>(problem.query, image, first, head), rows, work.rows);
      attend_rows(
          problem, packed_start + index * problem.head_elements(), rows, work,
          out_start + ((image * problem.queries + first) * problem.heads + head) * problem.dims);
    }
  });
  return out;
}

template <typename Element>
Tensor attend(const Tensor& query, const Tensor& key, const Tensor& value, double scale) {
  constexpr double kLog2E = 1.4426950408889634;
  const int64_t dims = query.size(3);
  const bool is_bf16 = std::is_same_v<Element, Bf16Bits>;
  return run(Problem<Element>{.query = query,
                              .key = key,
                              .value = value,
                              .scale = static_cast<float>(scale * kLog2E),
                              .heads = query.size(2),
                              .queries = query.size(1),
                              .keys = key.size(1),
                              .dims = dims,
                              .depth = is_bf16 ? round_up(dims, 32) : dims,
                              .keys_padded = round_up(key.size(1), 32),
                              .dim_tiles = round_up(dims, kTileColumns) / kTileColumns,
                              .uses_tiles = is_bf16 && cpu_level() == CpuLevel::AmxBf16});
}

bool is_dense(const Tensor& tensor, Dtype dtype) {
  return tensor.device().is_cpu() && tensor.scalar_type() == dtype && tensor.dim() == 4 &&
         tensor.stride(3) == 1;
}

}  // namespace

bool has_flash_attention(const Tensor& query, const Tensor& key, const Tensor& value) {
  const Dtype dtype = query.scalar_type();
  const CpuLevel needed = dtype == Dtype::BFloat16 ? CpuLevel::Avx512Bf16 : CpuLevel::Avx512;
  return (dtype == Dtype::BFloat16 || dtype == Dtype::Float) && cpu_level() >= needed &&
         is_dense(query, dtype) && is_dense(key, dtype) && is_dense(value, dtype) &&
         query.size(3) <= kLargestHead && value.size(3) == query.size(3) && query.numel() > 0 &&
         key.numel() > 0;
}

Tensor flash_attention(const Tensor& query, const Tensor& key, const Tensor& value, double scale) {
  SDRBEE_CHECK(has_flash_attention(query, key, value));
  const int64_t batch = query.size(0), heads = query.size(2), dims = query.size(3);
  SDRBEE_CHECK_SHAPE(key, {batch, -1, heads, dims});
  SDRBEE_CHECK_SHAPE(value, {batch, key.size(1), heads, dims});
  return query.scalar_type() == Dtype::BFloat16 ? attend<Bf16Bits>(query, key, value, scale)
                                                : attend<float>(query, key, value, scale);
}

}  // namespace sdrbee::nn::cpu
