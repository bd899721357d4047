#include "sdrbee/nn/cpu/low_rank_sum.h"

#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/memory_weights.h"

namespace sdrbee::nn::cpu {
namespace {

using test::random_tensor;
using test::relative_error;

constexpr double kTolerance = 2e-3;      // one rounding of the result, 2^-9
constexpr double kFp32Tolerance = 1e-6;  // of sums of up to 128 products

/// A factor whose values bf16 has, so that rounding it changes nothing.
Tensor factor(int64_t rows, int64_t columns, uint64_t seed) {
  return random_tensor({rows, columns}, seed).cpu().to(Dtype::BFloat16).to(Dtype::Float);
}

/// In double.
Tensor expected(const Tensor& weight, const Tensor& up, const Tensor& down) {
  return weight.to(Dtype::Double) + up.to(Dtype::Double).matmul(down.to(Dtype::Double));
}

class LowRankSum : public testing::TestWithParam<Dtype> {
 protected:
  static Tensor weight(int64_t rows, int64_t columns) {
    return random_tensor({rows, columns}, 1).cpu().to(GetParam());
  }
};

TEST_P(LowRankSum, EqualsTheProductForAllTails) {
  struct Sizes {
    int64_t rows, columns, rank;
  };
  // Of rows (32), of columns (16, and the panel of 1024), of the rank (32, and 64 in one go).
  for (const auto& [rows, columns, rank] :
       {Sizes{1, 1, 1}, Sizes{31, 15, 4}, Sizes{32, 256, 32}, Sizes{33, 17, 33}, Sizes{64, 513, 64},
        Sizes{100, 300, 65}, Sizes{320, 768, 16}, Sizes{5, 2880, 128}}) {
    const Tensor base = weight(rows, columns);
    const Tensor up = factor(rows, rank, 2);
    const Tensor down = factor(rank, columns, 3);
    const Tensor exact = expected(base, up, down);
    const Tensor sum = low_rank_sum(base, up, down, Dtype::BFloat16);
    EXPECT_EQ(sum.scalar_type(), Dtype::BFloat16);
    EXPECT_LT(relative_error(sum, exact), kTolerance) << rows << " " << columns << " " << rank;
    EXPECT_LT(relative_error(low_rank_sum(base, up, down, Dtype::Float), exact), kFp32Tolerance)
        << rows << " " << columns << " " << rank;
  }
}

TEST_P(LowRankSum, OfNothingIsTheRoundedWeight) {
  const Tensor base = weight(70, 90);
  const Tensor sum = low_rank_sum(base, at::zeros({70, 8}), at::zeros({8, 90}), Dtype::BFloat16);
  EXPECT_TRUE(at::equal(sum, base.to(Dtype::BFloat16)));
}

TEST_P(LowRankSum, DoesNotDependOnTheThreadCount) {
  const Tensor base = weight(500, 300);
  const Tensor up = factor(500, 48, 2);
  const Tensor down = factor(48, 300, 3);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor alone = low_rank_sum(base, up, down, Dtype::BFloat16);
  at::set_num_threads(3);
  EXPECT_TRUE(at::equal(low_rank_sum(base, up, down, Dtype::BFloat16), alone));
  at::set_num_threads(threads);
}

INSTANTIATE_TEST_SUITE_P(Stored, LowRankSum,
                         testing::Values(Dtype::Float, Dtype::Half, Dtype::BFloat16));

}  // namespace
}  // namespace sdrbee::nn::cpu
