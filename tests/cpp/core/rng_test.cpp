#include "sdrbee/core/rng.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

// torch.randn(4, generator=torch.Generator("cpu").manual_seed(7))
TEST(NoiseSource, EqualsTorchsCpuGenerator) {
  const Tensor drawn = NoiseSource(7).normal({4});
  const float expected[] = {-0.1468F, 0.7861F, 0.9468F, -1.1143F};
  for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(drawn.const_data_ptr<float>()[i], expected[i], 5e-5F);
}

TEST(NoiseSource, ContinuesFromItsStoredState) {
  NoiseSource source(3);
  source.normal({5});
  NoiseSource restored = NoiseSource::restore(3, source.state());
  EXPECT_TRUE(at::equal(source.normal({33}), restored.normal({33})));
}

TEST(NoiseSource, CopiesContinueIndependently) {
  NoiseSource source(3);
  NoiseSource copy = source;
  EXPECT_TRUE(at::equal(source.normal({9}), copy.normal({9})));
}

TEST(NoiseSource, IndexedNoiseDoesNotDependOnEarlierDraws) {
  NoiseSource source(3);
  const Tensor before = source.normal_at({8}, 2);
  source.normal({100});
  EXPECT_TRUE(at::equal(before, source.normal_at({8}, 2)));
  EXPECT_FALSE(at::equal(before, source.normal_at({8}, 3)));
}

TEST(NoiseSource, RejectsForeignState) {
  EXPECT_THROW(NoiseSource::restore(1, {1, 2, 3}), CheckpointError);
}

}  // namespace
}  // namespace sdrbee
