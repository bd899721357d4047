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

constexpr double kTolerance = 2e-3;  // one rounding of the result, 2^-9

/// From the same bf16 factors, in double.
Tensor expected(const Tensor& weight, const Tensor& up, const Tensor& down) {
  const auto wide = [](const Tensor& factor) {
    return factor.to(Dtype::BFloat16).to(Dtype::Double);
  };
  return weight.to(Dtype::Double) + wide(up).matmul(wide(down));
}

class LowRankSum : public testing::TestWithParam<Dtype> {
 protected:
  void SetUp() override {
    if (!has_low_rank_sum(random_tensor({1, 1}, 1).cpu()))
      GTEST_SKIP() << "this processor has no AVX512-BF16";
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
    const Tensor weight = random_tensor({rows, columns}, 1).cpu().to(GetParam());
    const Tensor up = random_tensor({rows, rank}, 2).cpu();
    const Tensor down = random_tensor({rank, columns}, 3).cpu();
    const Tensor sum = low_rank_sum(weight, up, down);
    EXPECT_EQ(sum.scalar_type(), Dtype::BFloat16);
    EXPECT_LT(relative_error(sum, expected(weight, up, down)), kTolerance)
        << rows << " " << columns << " " << rank;
  }
}

TEST_P(LowRankSum, OfNothingIsTheRoundedWeight) {
  const Tensor weight = random_tensor({70, 90}, 1).cpu().to(GetParam());
  const Tensor sum = low_rank_sum(weight, at::zeros({70, 8}), at::zeros({8, 90}));
  EXPECT_TRUE(at::equal(sum, weight.to(Dtype::BFloat16)));
}

TEST_P(LowRankSum, DoesNotDependOnTheThreadCount) {
  const Tensor weight = random_tensor({500, 300}, 1).cpu().to(GetParam());
  const Tensor up = random_tensor({500, 48}, 2).cpu();
  const Tensor down = random_tensor({48, 300}, 3).cpu();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor alone = low_rank_sum(weight, up, down);
  at::set_num_threads(3);
  EXPECT_TRUE(at::equal(low_rank_sum(weight, up, down), alone));
  at::set_num_threads(threads);
}

INSTANTIATE_TEST_SUITE_P(Stored, LowRankSum,
                         testing::Values(Dtype::Float, Dtype::Half, Dtype::BFloat16));

}  // namespace
}  // namespace sdrbee::nn::cpu
