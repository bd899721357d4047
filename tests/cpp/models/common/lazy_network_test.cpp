#include "sdrbee/models/common/lazy_network.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <atomic>

#include "io/temporary_folder.h"
#include "sdrbee/nn/linear.h"
#include "support/memory_weights.h"

namespace sdrbee {
namespace {

using io::testing::TemporaryFolder;
using test::random_tensor;

/// Counts what is read.
class CountedWeights final : public io::WeightSource {
 public:
  explicit CountedWeights(std::map<std::string, Tensor> tensors) : weights_(std::move(tensors)) {}
  std::vector<std::string> names() const override { return weights_.names(); }
  std::optional<io::WeightInfo> find(const std::string& name) const override {
    return weights_.find(name);
  }
  Tensor read(const std::string& name) const override {
    ++reads;
    return weights_.read(name);
  }
  std::string origin(const std::string&) const override { return "memory"; }

  mutable std::atomic<int> reads = 0;  // weights are read by several threads

 private:
  test::MemoryWeights weights_;
};

/// Two layers: a LoRA changes one or both.
struct Network {
  explicit Network(const io::WeightScope& scope)
      : first(scope / "first", 16, 16, false), gate(scope / "gate", 16, 16) {}
  Tensor operator()(const Tensor& x) const { return gate(first(x)); }

  nn::Linear first;
  nn::Geglu gate;
};

class LazyNetworkTest : public ::testing::Test {
 protected:
  LazyNetworkTest() {
    options_.memory = std::make_shared<WeightMemory>();
    options_.adapters = std::make_shared<Adapters>();
    options_.adapters->set_names({{"unet", {"unet."}}});
    component_.name = "unet";
    component_.weights = weights_;
  }

  lora::LoraUse lora(uint64_t seed) {
    const auto path = folder_ / (std::to_string(seed) + ".safetensors");
    std::map<std::string, Tensor> tensors;
    for (const char* layer : {"first", "gate.proj"}) {
      const int64_t rows = std::string(layer) == "first" ? 16 : 32;
      const std::string name = std::string("unet.") + layer;
      tensors[name + ".lora_A.weight"] = random_tensor({2, 16}, seed);
      tensors[name + ".lora_B.weight"] = random_tensor({rows, 2}, seed + 1);
    }
    io::write_safetensors(path, tensors);
    lora::LoraUse use;
    use.path = path.string();
    return use;
  }

  Tensor run(std::vector<lora::LoraUse> loras) {
    options_.adapters->use(loras);
    return network_->use()(x_);
  }

  const std::shared_ptr<CountedWeights> weights_ = std::make_shared<CountedWeights>(
      std::map<std::string, Tensor>{{"first.weight", random_tensor({16, 16}, 1)},
                                    {"gate.proj.weight", random_tensor({32, 16}, 2)},
                                    {"gate.proj.bias", random_tensor({32}, 3)}});
  const Tensor x_ = random_tensor({3, 16}, 4);
  TemporaryFolder folder_;
  LoadOptions options_;
  io::Component component_;
  std::optional<LazyNetwork<Network>> network_;
};

TEST_F(LazyNetworkTest, GoesBackToKnownLorasWithoutReading) {
  network_.emplace(component_, options_, [](const io::WeightScope& s) { return Network(s); });
  const lora::LoraUse one = lora(10);
  const lora::LoraUse other = lora(20);
  const Tensor plain = run({});
  const Tensor with_one = run({one});
  const Tensor with_other = run({other});
  EXPECT_FALSE(at::equal(plain, with_one));
  EXPECT_FALSE(at::equal(with_one, with_other));
  EXPECT_TRUE(at::equal(run({}), plain));
  const int reads = weights_->reads;
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_TRUE(at::equal(run({one}), with_one));
    EXPECT_TRUE(at::equal(run({other}), with_other));
    EXPECT_TRUE(at::equal(run({}), plain));
  }
  EXPECT_EQ(weights_->reads.load(), reads);
  run({one, other});
  EXPECT_GT(weights_->reads.load(), reads);
}

TEST_F(LazyNetworkTest, MakesTheFirstLorasWeightsInTheMemoryOfTheOwn) {
  network_.emplace(component_, options_, [](const io::WeightScope& s) { return Network(s); });
  const auto kept_bytes = [&] { return options_.memory->states().at("unet").kept_bytes; };
  constexpr int64_t kWeightBytes = (16 * 16 + 32 * 16) * 4;
  run({});
  run({lora(10)});
  EXPECT_EQ(kept_bytes(), 0);
  run({});
  EXPECT_EQ(kept_bytes(), kWeightBytes);
  run({lora(10)});
  EXPECT_EQ(kept_bytes(), kWeightBytes);
  run({lora(20)});
  EXPECT_EQ(kept_bytes(), 2 * kWeightBytes);
}

TEST_F(LazyNetworkTest, KeepsNothingWhereTheLimitLeavesNothing) {
  options_.memory = std::make_shared<WeightMemory>(/*limit_bytes=*/(16 * 16 + 32 * 16 + 32) * 4);
  network_.emplace(component_, options_, [](const io::WeightScope& s) { return Network(s); });
  const lora::LoraUse one = lora(10);
  const Tensor plain = run({});
  const Tensor with_one = run({one});
  const int reads = weights_->reads;
  EXPECT_TRUE(at::equal(run({}), plain));
  EXPECT_TRUE(at::equal(run({one}), with_one));
  EXPECT_EQ(weights_->reads.load(), reads + 4);
}

}  // namespace
}  // namespace sdrbee
