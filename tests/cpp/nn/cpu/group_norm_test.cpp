#include "sdrbee/nn/cpu/group_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "sdrbee/nn/layout.h"
#include "support/memory_weights.h"

namespace sdrbee::nn::cpu {
namespace {

using test::random_tensor;
using test::relative_error;

struct Sizes {
  int64_t batch, channels, height, width, groups;
};
constexpr Sizes kSizes[] = {{2, 64, 16, 16, 32},
                            {1, 8, 1, 1, 4},
                            {3, 30, 7, 5, 3},
                            {1, 32, 70, 61, 8},
                            {2, 20, 13, 11, 20}};

Tensor picture(const Sizes& sizes, Dtype dtype) {
  return channels_last(
      random_tensor({sizes.batch, sizes.channels, sizes.height, sizes.width}, 1).cpu().to(dtype));
}

class CpuGroupNorm : public testing::TestWithParam<Dtype> {
 protected:
  double tolerance() const { return GetParam() == Dtype::Float ? 1e-6 : 3e-3; }
};

Tensor expected(const Tensor& x, const Tensor& w, const Tensor& b, int64_t groups) {
  return at::group_norm(x.to(Dtype::Double).contiguous(), groups, w.to(Dtype::Double),
                        b.to(Dtype::Double), 1e-5);
}

TEST_P(CpuGroupNorm, EqualsAten) {
  for (const Sizes& sizes : kSizes) {
    const Tensor x = picture(sizes, GetParam());
    const Tensor w = random_tensor({sizes.channels}, 2).cpu().to(GetParam());
    const Tensor b = random_tensor({sizes.channels}, 3).cpu().to(GetParam());
    const GroupNormWeights weights{.weight = w, .bias = b, .groups = sizes.groups, .eps = 1e-5};
    const Tensor plain = expected(x, w, b, sizes.groups);
    EXPECT_LT(relative_error(group_norm(x, {}, weights, false), plain), tolerance());
    EXPECT_LT(relative_error(group_norm(x, {}, weights, true), at::silu(plain)), tolerance());
    const Tensor shift = random_tensor({sizes.batch, sizes.channels}, 4).cpu().to(GetParam());
    const Tensor shifted = x.to(Dtype::Double) + shift.to(Dtype::Double).unsqueeze(2).unsqueeze(3);
    EXPECT_LT(
        relative_error(group_norm(x, shift, weights, false), expected(shifted, w, b, sizes.groups)),
        tolerance())
        << sizes.channels;
  }
}

TEST_P(CpuGroupNorm, KeepsItsDigitsFarFromZero) {
  const Sizes sizes{1, 32, 40, 40, 8};
  const Tensor x = picture(sizes, Dtype::Float).add(100).to(GetParam());
  const Tensor w = random_tensor({32}, 2).cpu().to(GetParam());
  const Tensor b = random_tensor({32}, 3).cpu().to(GetParam());
  const GroupNormWeights weights{.weight = w, .bias = b, .groups = 8, .eps = 1e-5};
  // Values near 100 have lost two digits before: 100 * 2^-24 against a deviation of 1.
  EXPECT_LT(relative_error(group_norm(x, {}, weights, false), expected(x, w, b, 8)),
            GetParam() == Dtype::Float ? 2e-5 : 3e-3);
}

TEST_P(CpuGroupNorm, PassesLargeValuesAndNansThrough) {
  const Sizes sizes{1, 4, 8, 9, 1};
  const Tensor w = Tensor(picture(sizes, GetParam())).new_full({4}, 1.0);
  const GroupNormWeights weights{.weight = w, .bias = w, .groups = 1, .eps = 1e-5};
  Tensor x = picture(sizes, GetParam());
  x.select(2, 0).mul_(1e4);
  const Tensor y = group_norm(x, {}, weights, true);
  EXPECT_LT(relative_error(y, at::silu(expected(x, w, w, 1))), tolerance() * 3);
  x.select(2, 3).fill_(std::nan(""));
  EXPECT_TRUE(group_norm(x, {}, weights, true).isnan().all().item<bool>());
}

TEST_P(CpuGroupNorm, OverwritesWhatIsGivenUpOnly) {
  const Sizes sizes{2, 20, 13, 11, 20};
  const Tensor x = picture(sizes, GetParam());
  const Tensor w = random_tensor({20}, 2).cpu().to(GetParam());
  const GroupNormWeights weights{.weight = w, .bias = w, .groups = 20, .eps = 1e-5};
  const Tensor before = x.clone();
  const Tensor y = group_norm(x, {}, weights, true);
  EXPECT_TRUE(at::equal(x, before));
  Tensor held = x.clone(), alone = x.clone();
  const Tensor view = held.select(0, 0);
  const void* place = alone.data_ptr();
  EXPECT_TRUE(at::equal(group_norm(std::move(held), {}, weights, true), y));
  EXPECT_TRUE(at::equal(view, x.select(0, 0)));
  const Tensor over = group_norm(std::move(alone), {}, weights, true);
  EXPECT_EQ(over.data_ptr(), place);
  EXPECT_TRUE(at::equal(over, y));
}

TEST_P(CpuGroupNorm, DoesNotDependOnThreads) {
  const Sizes sizes{1, 32, 70, 61, 8};
  const Tensor x = picture(sizes, GetParam());
  const Tensor w = random_tensor({32}, 2).cpu().to(GetParam());
  const GroupNormWeights weights{.weight = w, .bias = w, .groups = 8, .eps = 1e-5};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensor alone = group_norm(x, {}, weights, true);
  at::set_num_threads(2);
  const Tensor shared = group_norm(x, {}, weights, true);
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(alone, shared));
}

INSTANTIATE_TEST_SUITE_P(Dtypes, CpuGroupNorm, testing::Values(Dtype::Float, Dtype::BFloat16));

}  // namespace
}  // namespace sdrbee::nn::cpu
