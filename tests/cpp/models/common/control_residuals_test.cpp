#include "sdrbee/models/common/control_residuals.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace sdrbee {
namespace {

/// Adds the mean of the row's image, and counts the rows that it is run on.
class FakeControl final : public ControlNetwork {
 public:
  ControlResiduals residuals(const Tensor& latents, const Tensor& timesteps,
                             const Conditioning& conditioning,
                             const ControlInput& control) override {
    EXPECT_EQ(latents.size(0), timesteps.size(0));
    EXPECT_EQ(latents.size(0), conditioning.context.size(0));
    rows += latents.size(0);
    const Tensor level = control.image.mean(at::IntArrayRef{1, 2, 3}).reshape({-1, 1, 1, 1});
    const Tensor tokens = level.reshape({-1, 1, 1}).expand({-1, 6, 2});
    return {.skips = {level.expand({-1, 2, 4, 4}), level},
            .middle = level,
            .blocks = {tokens, tokens, tokens.neg()}};
  }
  bool always_guesses() const override { return false; }
  int64_t find_type(const std::string&) const override { return 0; }
  const std::string& sha256() override { return sha256_; }

  int64_t rows = 0;

 private:
  std::string sha256_;
};

Tensor images() {
  return at::tensor({1.0F, 2.0F, 4.0F}).reshape({3, 1, 1, 1}).expand({3, 3, 8, 8});
}

std::optional<ControlResiduals> run(std::vector<ControlInput> controls) {
  Conditioning conditioning{.context = at::ones({3, 5, 2})};
  conditioning.controls = std::move(controls);
  return control_residuals(at::ones({3, 4, 4, 4}), at::ones({3}), conditioning);
}

Tensor values(const Tensor& residual) { return residual.flatten(1).select(1, 0); }

TEST(ControlResiduals, AddUpEachTimesItsStrength) {
  FakeControl first;
  FakeControl second;
  const auto sum = run({{.network = &first, .image = images(), .strengths = at::full({3}, 0.5)},
                        {.network = &second, .image = images(), .strengths = at::full({3}, -2.0)}});
  ASSERT_TRUE(sum);
  const Tensor expected = at::tensor({-1.5F, -3.0F, -6.0F});
  EXPECT_TRUE(values(sum->skips[0]).equal(expected));
  EXPECT_TRUE(values(sum->skips[1]).equal(expected));
  EXPECT_TRUE(values(sum->middle).equal(expected));
}

TEST(ControlResiduals, ARowOfStrengthZeroIsNotRun) {
  FakeControl control;
  const auto sum =
      run({{.network = &control, .image = images(), .strengths = at::tensor({1.0F, 0.0F, 0.25F})}});
  ASSERT_TRUE(sum);
  EXPECT_TRUE(values(sum->middle).equal(at::tensor({1.0F, 0.0F, 1.0F})));
  EXPECT_EQ(sum->skips[0].sizes(), (std::vector<int64_t>{3, 2, 4, 4}));
  EXPECT_EQ(control.rows, 2);
}

TEST(ControlResiduals, OfBlocksThatShareATensorAreOneTensor) {
  FakeControl first;
  FakeControl second;
  const auto sum = run({{.network = &first, .image = images(), .strengths = at::full({3}, 0.5)},
                        {.network = &second, .image = images(), .strengths = at::full({3}, 2.0)}});
  ASSERT_TRUE(sum);
  ASSERT_EQ(sum->blocks.size(), 3);
  EXPECT_TRUE(values(sum->blocks[0]).equal(at::tensor({2.5F, 5.0F, 10.0F})));
  EXPECT_TRUE(sum->blocks[1].is_same(sum->blocks[0]));
  EXPECT_TRUE(values(sum->blocks[2]).equal(at::tensor({-2.5F, -5.0F, -10.0F})));
}

TEST(ControlResiduals, ARowMayTakeThoseOfAnother) {
  FakeControl control;
  const auto sum = run({{.network = &control,
                         .image = images(),
                         .strengths = at::tensor({0.0F, 0.5F, 1.0F}),
                         .taken_from = at::tensor({1, 1, 2}, at::kLong)}});
  ASSERT_TRUE(sum);
  EXPECT_TRUE(values(sum->blocks[0]).equal(at::tensor({1.0F, 1.0F, 4.0F})));
  EXPECT_EQ(control.rows, 2);
}

TEST(ControlResiduals, AreNoneWhereNoControlActs) {
  FakeControl control;
  EXPECT_FALSE(run({{.network = &control, .image = images(), .strengths = at::full({3}, 0.0)}}));
  EXPECT_FALSE(run({}));
  EXPECT_EQ(control.rows, 0);
}

}  // namespace
}  // namespace sdrbee
