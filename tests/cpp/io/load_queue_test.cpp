#include "sdrbee/io/load_queue.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "sdrbee/core/error.h"
#include "sdrbee/nn/conv2d.h"
#include "support/memory_weights.h"

namespace sdrbee::io {
namespace {

TEST(LoadQueue, RunsEveryTaskOnce) {
  LoadQueue queue;
  std::atomic<int> sum = 0;
  for (int i = 1; i <= 1000; ++i) queue.add([&sum, i] { sum += i; });
  EXPECT_EQ(sum, 0);
  queue.run();
  EXPECT_EQ(sum, 500'500);
  queue.run();
  EXPECT_EQ(sum, 500'500);
}

TEST(LoadQueue, StopsAtTheFirstError) {
  LoadQueue queue;
  std::atomic<int> count = 0;
  queue.add([] { throw CheckpointError("[file] broken"); });
  for (int i = 0; i < 200; ++i) {
    queue.add([&count] {
      ++count;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  }
  EXPECT_THROW(queue.run(), CheckpointError);
  EXPECT_LT(count, 200);
}

TEST(LoadQueue, ReadsSomeOfTheTensorsTheLargestFirst) {
  std::vector<std::string> read;
  LoadQueue queue;
  for (const auto& [name, bytes] :
       std::map<std::string, int64_t>{{"a", 1}, {"b", 3}, {"c", 2}, {"d", 3}, {"e", 4}})
    queue.add([&read, name] { read.push_back(name); }, name, bytes);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  queue.reading({"a", "b", "c", "d"}).run();
  at::set_num_threads(threads);
  EXPECT_EQ(read, (std::vector<std::string>{"b", "d", "c", "a"}));
}

TEST(LoadQueue, LayersTakeTheirWeightsWhenItRuns) {
  const test::MemoryWeights weights(
      {{"weight", test::random_tensor({2, 3, 1, 1}, 1)}, {"bias", test::random_tensor({2}, 2)}});
  WeightLedger ledger;
  LoadQueue queue;
  const WeightScope scope(weights, ledger, Dtype::Float, test::test_device(), &queue);
  EXPECT_THROW(nn::Conv2d(scope, 3, 5, 1), CheckpointError);  // shapes are checked at once
  nn::Conv2d built(scope, 3, 2, 1);
  const nn::Conv2d moved = std::move(built);
  queue.run();
  const Tensor x = test::random_tensor({1, 3, 4, 4}, 3);
  const nn::Conv2d expected(weights.scope(), 3, 2, 1);
  EXPECT_EQ(test::largest_difference(moved(x), expected(x)), 0.0);
}

}  // namespace
}  // namespace sdrbee::io
