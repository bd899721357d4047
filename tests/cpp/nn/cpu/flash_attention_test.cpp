#include "sdrbee/nn/cpu/flash_attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <gtest/gtest.h>

#include "sdrbee/core/cpu_level.h"
#include "sdrbee/nn/cpu/block_gemm.h"
#include "sdrbee/nn/cpu/pack_rows.h"
#include "support/memory_weights.h"

namespace sdrbee::nn::cpu {
namespace {

using test::random_tensor;
using test::relative_error;

constexpr double kFp32 = 3e-6;  // sums of up to 4096 roundings of fp32
constexpr double kBf16 = 5e-3;  // one rounding of weights and one of the result, 2^-9 each

struct Sizes {
  int64_t queries, keys, heads, dims;
};

/// Every tail there is: of rows (32), of keys (32 and the block of 256), of dims (16 and 32).
constexpr Sizes kSizes[] = {{64, 64, 2, 64},  {1, 1, 1, 8},      {33, 77, 3, 40}, {100, 300, 2, 80},
                            {31, 513, 1, 19}, {70, 257, 2, 160}, {5, 600, 2, 7},  {40, 90, 1, 256}};

Tensor make(int64_t tokens, const Sizes& sizes, uint64_t seed, Dtype dtype) {
  return random_tensor({2, tokens, sizes.heads, sizes.dims}, seed).cpu().to(dtype);
}

Tensor expected(const Tensor& q, const Tensor& k, const Tensor& v, double scale) {
  const auto heads_first = [](const Tensor& x) { return x.to(Dtype::Double).transpose(1, 2); };
  return at::scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), {}, 0.0,
                                          false, scale)
      .transpose(1, 2);
}

class FlashAttention : public testing::TestWithParam<Dtype> {
 protected:
  double tolerance() const { return GetParam() == Dtype::Float ? kFp32 : kBf16; }
  void SetUp() override {
    const Tensor x = make(1, kSizes[0], 1, GetParam());
    if (!has_flash_attention(x, x, x)) GTEST_SKIP() << "this processor has no AVX-512 for it";
  }
};

TEST_P(FlashAttention, EqualsAtenForAllTails) {
  for (const Sizes& sizes : kSizes) {
    const Tensor q = make(sizes.queries, sizes, 1, GetParam());
    const Tensor k = make(sizes.keys, sizes, 2, GetParam());
    const Tensor v = make(sizes.keys, sizes, 3, GetParam());
    EXPECT_LT(relative_error(flash_attention(q, k, v, 0.3), expected(q, k, v, 0.3)), tolerance())
        << sizes.queries << " " << sizes.keys << " " << sizes.heads << " " << sizes.dims;
  }
}

TEST_P(FlashAttention, TakesSlicesOfAJoinedProjection) {
  const Tensor joined = random_tensor({2, 50, 3, 2, 40}, 4).cpu().to(GetParam());
  const Tensor q = joined.select(2, 0), k = joined.select(2, 1), v = joined.select(2, 2);
  EXPECT_LT(relative_error(flash_attention(q, k, v, 0.2), expected(q, k, v, 0.2)), tolerance());
}

TEST_P(FlashAttention, StaysExactWhenLaterScoresAreMuchLarger) {
  const Sizes sizes{40, 700, 1, 32};
  const Tensor q = make(sizes.queries, sizes, 1, GetParam()).abs();
  Tensor k = make(sizes.keys, sizes, 2, GetParam()).abs();
  k.narrow(1, 300, 100).mul_(30);   // hundreds of powers of two above the first block
  k.narrow(1, 600, 100).mul_(100);  // and again
  const Tensor v = make(sizes.keys, sizes, 3, GetParam());
  EXPECT_LT(relative_error(flash_attention(q, k, v, 1.0), expected(q, k, v, 1.0)),
            GetParam() == Dtype::Float ? 1e-4 : 2e-2);  // scores of thousands: their own rounding
}

TEST_P(FlashAttention, DoesNotDependOnThreads) {
  const Sizes sizes{130, 300, 3, 40};
  const Tensor q = make(sizes.queries, sizes, 1, GetParam());
  const Tensor k = make(sizes.keys, sizes, 2, GetParam());
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor alone = flash_attention(q, k, k, 0.2);
  at::set_num_threads(2);
  const Tensor shared = flash_attention(q, k, k, 0.2);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(alone, shared));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, FlashAttention, testing::Values(Dtype::Float, Dtype::BFloat16));

TEST(BlockProduct, VectorsAndTilesAgree) {
  if (cpu_level() < CpuLevel::AmxBf16) GTEST_SKIP() << "this processor has no AMX tiles";
  for (const int64_t depth : {32, 64, 96}) {
    for (const int64_t tiles : {1, 2, 3, 5}) {
      const Tensor a = random_tensor({kBlockRows, depth}, 1).cpu().to(Dtype::BFloat16);
      const Tensor b = random_tensor({tiles * kTileColumns, depth}, 2).cpu().to(Dtype::BFloat16);
      Tensor packed = b.new_empty({tiles * kTileColumns * depth});
      const PackShape shape{.tokens = tiles * kTileColumns,
                            .tokens_padded = tiles * kTileColumns,
                            .dims = depth,
                            .depth = depth};
      pack_keys(static_cast<const Bf16Bits*>(b.const_data_ptr()), depth, shape,
                static_cast<Bf16Bits*>(packed.data_ptr()));
      for (const bool accumulate : {false, true}) {
        Tensor by_vectors = random_tensor({kBlockRows, tiles * kTileColumns}, 3).cpu();
        Tensor by_tiles = by_vectors.clone();
        BlockProduct<Bf16Bits> product{.a = static_cast<const Bf16Bits*>(a.const_data_ptr()),
                                       .a_stride = depth,
                                       .b = static_cast<const Bf16Bits*>(packed.const_data_ptr()),
                                       .b_tile_stride = depth * kTileColumns,
                                       .c = by_vectors.data_ptr<float>(),
                                       .c_stride = tiles * kTileColumns,
                                       .depth = depth,
                                       .tiles = tiles,
                                       .accumulate = accumulate};
        multiply_avx512_bf16(product);
        product.c = by_tiles.data_ptr<float>();
        {
          const TileSession session(true);
          multiply_amx_bf16(product);
        }
        EXPECT_LT(relative_error(by_tiles, by_vectors), 1e-6) << depth << " " << tiles;
      }
    }
  }
}

}  // namespace
}  // namespace sdrbee::nn::cpu
