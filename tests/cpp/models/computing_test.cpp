#include "sdrbee/models/computing.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "engine/pattern_model.h"

namespace sdrbee {
namespace {

struct Weights final : WeightHolder {
  io::LoadQueue prepare() override { return {}; }
  void drop() override {}
  void drop_kept() override {}
};

TEST(Computing, ASmallModelHasOneThreadAndALargeOneAll) {
  at::set_num_threads(3);
  const auto model = Registry::adopt(std::make_unique<engine::testing::PatternModel>(
      std::make_shared<engine::testing::Behaviour>()));
  Weights small, large;
  model->memory().add(small, "vae", int64_t{60} << 20);
  {
    const Computing computing(*model);
    EXPECT_EQ(at::get_num_threads(), 1);
    const Computing inner(*model);
    EXPECT_EQ(at::get_num_threads(), 1);
  }
  EXPECT_EQ(at::get_num_threads(), 3);
  model->memory().add(large, "unet", int64_t{60} << 20);
  const Computing computing(*model);
  EXPECT_EQ(at::get_num_threads(), 3);
  model->memory().remove(small);
  model->memory().remove(large);
}

}  // namespace
}  // namespace sdrbee
