#include "sdrbee/generation/guidance.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "sdrbee/core/rng.h"

namespace sdrbee {
namespace {

constexpr ActiveGuidance kContrast{.contrast = true};

GuidedConditions classifier_free(double weight) {
  GuidedConditions conditions;
  conditions.base = Conditioning{at::full({1, 2, 3}, 0.0), {}};
  conditions.conditions = {{Conditioning{at::full({1, 2, 3}, 1.0), {}}, weight}};
  return conditions;
}

TEST(Guidance, MovesFromTheBaseByTheWeight) {
  const std::vector<Tensor> rows = {at::full({1, 1, 2, 2}, 1.0), at::full({1, 1, 2, 2}, 3.0)};
  const auto prediction = guide(classifier_free(4.0), rows, kContrast, 0.0);
  EXPECT_TRUE(at::allclose(prediction.raw, at::full({1, 1, 2, 2}, 9.0)));
  EXPECT_TRUE(at::allclose(prediction.raw_uncond, rows[0]));
}

TEST(Guidance, PutsTheBaseRowFirst) {
  const GuidedConditions conditions = classifier_free(4.0);
  const auto rows = conditions.rows(kContrast);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0], &*conditions.base);
  EXPECT_EQ(conditions.rows({}).size(), 1U);
}

TEST(Guidance, WeighsSeveralConditions) {
  GuidedConditions conditions = classifier_free(2.0);
  conditions.conditions.push_back({Conditioning{at::full({1, 2, 3}, 2.0), {}}, -1.0});
  const std::vector<Tensor> rows = {at::full({1, 1, 2, 2}, 1.0), at::full({1, 1, 2, 2}, 2.0),
                                    at::full({1, 1, 2, 2}, 4.0)};
  const auto prediction = guide(conditions, rows, kContrast, 0.0);
  EXPECT_TRUE(at::allclose(prediction.raw, at::full({1, 1, 2, 2}, 0.0)));
}

TEST(Guidance, MovesAwayFromSkippedLayers) {
  GuidedConditions conditions = classifier_free(2.0);
  conditions.skipping = {Conditioning{at::full({1, 2, 3}, 1.0), {}}, 2.8};
  const ActiveGuidance active{.contrast = true, .skipping = true};
  EXPECT_EQ(conditions.rows(active).back(), &conditions.skipping->conditioning);
  EXPECT_EQ(conditions.rows(kContrast).size(), 2U);
  const std::vector<Tensor> rows = {at::full({1, 1, 2, 2}, 1.0), at::full({1, 1, 2, 2}, 2.0),
                                    at::full({1, 1, 2, 2}, 4.0)};
  const auto prediction = guide(conditions, rows, active, 0.0);
  EXPECT_TRUE(at::allclose(prediction.raw, at::full({1, 1, 2, 2}, 3.0 - 2.0 * 2.8)));
}

TEST(Guidance, RescalesToTheDeviationOfTheConditionedRow) {
  NoiseSource noise(1);
  const std::vector<Tensor> rows = {noise.normal({1, 4, 8, 8}), noise.normal({1, 4, 8, 8})};
  const auto prediction = guide(classifier_free(7.0), rows, kContrast, 1.0);
  EXPECT_NEAR(prediction.raw.std().item<double>(), rows[1].std().item<double>(), 1e-5);
}

}  // namespace
}  // namespace sdrbee
