#include "sdrbee/nn/rope.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/view_as_real.h>
#include <gtest/gtest.h>

#include "support/memory_weights.h"

namespace sdrbee::nn {
namespace {

using test::random_tensor;
using test::relative_error;

// torch.stack(FluxPosEmbed(10000, [2, 4])(torch.tensor([[3.0, 250.0]])))[:, :, ::2]
TEST(Rotations, EqualDiffusers) {
  const Tensor expected = at::tensor({-0.98999250, 0.24098831, -0.80114362,   // cosines
                                      0.14112000, -0.97052801, 0.59847212});  // sines
  const Tensor turned =
      at::view_as_real(rotations(at::tensor({3.0, 250.0}).view({1, 2}), {2, 4}, 1e4));
  EXPECT_LT(relative_error(turned[0].t().reshape({-1}), expected), 1e-7);
}

TEST(Rotations, KeepTheirAccuracyFarFromTheOrigin) {
  const Tensor far = at::view_as_real(rotations(at::tensor({1e6}).view({1, 1}), {2}, 1e4));
  EXPECT_NEAR(far[0][0][0].item<double>(), 0.93675212753314474, 1e-7);  // math.cos(1e6)
}

TEST(Rotate, TurnsNeighbouringChannels) {
  const Tensor x = at::tensor({1.0F, 0.0F, 0.0F, 2.0F}).view({1, 1, 1, 4});
  const auto turn_of = [](double angle) {
    return rotations(at::tensor({angle}).view({1, 1}), {2}, 1e4);
  };
  const Tensor quarter = turn_of(1.5707963267948966);
  const Tensor half = turn_of(3.1415926535897932);
  const Tensor first = rotate(x.narrow(3, 0, 2), quarter).reshape({-1});
  const Tensor second = rotate(x.narrow(3, 2, 2), half).reshape({-1});
  EXPECT_LT(relative_error(first, at::tensor({0.0F, 1.0F})), 1e-6);
  EXPECT_LT(relative_error(second, at::tensor({0.0F, -2.0F})), 1e-6);
}

TEST(Rotate, KeepsTheDtypeAndTurnsAllHeadsAlike) {
  const Tensor x = random_tensor({2, 3, 1, 6}, 1).to(at::kBFloat16).expand({2, 3, 4, 6});
  const Tensor turned = rotate(x, rotations(random_tensor({3, 2}, 2), {2, 4}, 1e4));
  EXPECT_EQ(turned.scalar_type(), at::kBFloat16);
  EXPECT_EQ(relative_error(turned.select(2, 0), turned.select(2, 3)), 0.0);
  EXPECT_GT(relative_error(turned.select(1, 0), turned.select(1, 1)), 0.1);
}

}  // namespace
}  // namespace sdrbee::nn
