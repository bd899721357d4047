#include "sdrbee/engine/model_store.h"

#include <gtest/gtest.h>

#include <deque>

#include "pattern_model.h"
#include "sdrbee/core/error.h"

namespace sdrbee::engine {
namespace {

using namespace std::chrono_literals;

/// Weights that only count.
class CountedWeights final : public WeightHolder {
 public:
  io::LoadQueue prepare() override {
    ++loads;
    return {};
  }
  void drop() override {}
  void drop_kept() override {}
  int loads = 0;
};

/// Models "a" to "d", of two components of 100 bytes each.
class ModelStoreTest : public ::testing::Test {
 protected:
  std::shared_ptr<testing::Behaviour> behaviour = std::make_shared<testing::Behaviour>();
  std::deque<CountedWeights> weights;
  std::vector<std::string> told;  ///< "a@limit" for each time that a model was loaded
  ModelSources sources{{source("a"), source("b"), source("c"), source("d")}};

  ModelSource source(const std::string& name) {
    ModelSource made = testing::pattern_source(behaviour, name);
    made.load = [this, name](int64_t, std::optional<int64_t> limit) {
      told.push_back(limit ? message(name, "@", *limit) : name);
      auto model = Registry::adopt(std::make_unique<testing::PatternModel>(behaviour));
      for (const std::string part : {"unet", "vae"})
        model->memory().add(weights.emplace_back(), part, 100);
      return model;
    };
    return made;
  }

  ModelStore make(const StoreOptions& options = {}) { return {sources, 0, options}; }

  static std::vector<std::string> names(const ModelStore& store) {
    std::vector<std::string> result;
    for (const LoadedModel& model : store.loaded()) result.push_back(model.name);
    return result;
  }
};

using Names = std::vector<std::string>;

TEST_F(ModelStoreTest, LoadsAModelOnceAndKeepsIt) {
  ModelStore store = make();
  EXPECT_TRUE(store.loaded().empty());
  ResidentModel& first = store.use("a");
  EXPECT_TRUE(store.loaded()[0].in_use);
  EXPECT_EQ(store.loaded()[0].bytes, 0) << "weights come when they are needed";
  store.use("b");
  EXPECT_EQ(&store.use("a"), &first);
  store.rest();
  EXPECT_EQ(told, (Names{"a", "b"}));
  EXPECT_FALSE(store.loaded()[0].in_use);
}

TEST_F(ModelStoreTest, CountsEveryLoad) {
  ModelStore store = make({.max_loaded = 1});
  EXPECT_EQ(store.statistics().count, 0);
  store.load("a");
  store.load("a");
  EXPECT_EQ(store.statistics().count, 1) << "it was there already";
  store.use("b");
  store.use("a");
  EXPECT_EQ(store.statistics().count, 3);
  EXPECT_GT(store.statistics().time.count(), 0);
}

TEST_F(ModelStoreTest, LetsTheLeastRecentlyUsedGoWhenTheBudgetIsShort) {
  ModelStore store = make({.memory_budget = 450});
  store.load("a");
  store.load("b");
  EXPECT_EQ(store.loaded()[0].bytes, 200);
  store.load("a");
  store.load("c");
  EXPECT_EQ(names(store), (Names{"a", "c"}));
  store.load("b");
  EXPECT_EQ(names(store), (Names{"b", "c"}));
}

TEST_F(ModelStoreTest, WhatAnIdleModelDoesNotHoldCountsNothing) {
  ModelStore store = make({.memory_budget = 400});
  ResidentModel& first = store.use("a");
  first.model->memory().use(weights[0]);
  store.load("b");
  EXPECT_EQ(names(store), (Names{"a", "b"})) << "300 of 400";
  store.load("c");
  EXPECT_EQ(names(store), (Names{"b", "c"})) << "a was the oldest";
}

TEST_F(ModelStoreTest, WhatIsKeptForLorasCountsAndMakesRoomFirst) {
  ModelStore store = make({.memory_budget = 450});
  WeightMemory& first = store.use("a").model->memory();
  first.load_all();
  EXPECT_EQ(first.may_keep(weights[0]), 250) << "of the budget, beside its weights";
  first.note_kept(weights[0], 250);
  EXPECT_EQ(store.loaded()[0].bytes, 450);
  WeightMemory& second = store.use("b").model->memory();
  EXPECT_EQ(names(store), (Names{"a", "b"}));
  EXPECT_EQ(store.loaded()[0].bytes, 200);
  EXPECT_EQ(second.may_keep(weights[2]), 50);
  second.load_all();
  second.note_kept(weights[2], 50);
  store.use("a");
  EXPECT_EQ(first.may_keep(weights[0]), 0) << "b keeps what it has while there is room";
  EXPECT_EQ(store.loaded()[1].bytes, 250);
}

TEST_F(ModelStoreTest, KeepsSoManyModels) {
  ModelStore store = make({.max_loaded = 2});
  for (const char* name : {"a", "b", "c"}) store.load(name);
  EXPECT_EQ(names(store), (Names{"b", "c"}));
}

TEST_F(ModelStoreTest, PinnedModelsStayAndTheRestSharesWhatIsLeft) {
  ModelStore store = make({.memory_budget = 300});
  store.pin("a", true);
  store.load("a");
  store.load("b");
  EXPECT_EQ(told, (Names{"a@300", "b@100"}));
  EXPECT_EQ(names(store), (Names{"a", "b"}));
  EXPECT_EQ(store.loaded()[1].bytes + store.loaded()[0].bytes, 400)
      << "the limit is the model's to keep, which these don't";
  store.pin("a", false);
  store.load("b");
  EXPECT_EQ(told.back(), "b@300") << "it may have all of its weights now";
  EXPECT_EQ(names(store), (Names{"b"}));
}

TEST_F(ModelStoreTest, PinnedModelsMayTakeAllRoom) {
  ModelStore store = make({.memory_budget = 200});
  store.pin("a", true);
  store.load("a");
  EXPECT_THROW(store.use("b"), OutOfMemory);
  EXPECT_EQ(names(store), (Names{"a"}));
}

TEST_F(ModelStoreTest, AModelsOwnLimitIsKept) {
  ModelSource limited = source("e");
  limited.memory_limit = 150;
  sources.add(std::move(limited));
  ModelStore store = make({.memory_budget = 350});
  store.load("b");
  store.use("e");
  EXPECT_EQ(told, (Names{"b@350", "e@150"}));
  EXPECT_EQ(names(store), (Names{"b", "e"})) << "150 + 200";
}

TEST_F(ModelStoreTest, UnloadsAtOnceOrWhenTheModelIsNoLongerInUse) {
  ModelStore store = make();
  store.load("a");
  store.use("b");
  store.unload("a");
  store.unload("b");
  store.unload("c");
  EXPECT_EQ(names(store), (Names{"b"}));
  store.rest();
  EXPECT_TRUE(store.loaded().empty());
}

TEST_F(ModelStoreTest, LetsModelsGoThatWereIdleForTooLong) {
  ModelStore store = make({.keep_alive = 0s});
  EXPECT_FALSE(store.next_sweep());
  store.load("a");
  store.pin("b", true);
  store.load("b");
  store.use("c");
  EXPECT_TRUE(store.next_sweep());
  store.sweep();
  EXPECT_EQ(names(store), (Names{"b", "c"}));
  EXPECT_FALSE(store.next_sweep());
  store.pin("b", false);
  store.rest();
  store.sweep();
  EXPECT_TRUE(store.loaded().empty());

  ModelStore patient = make({.keep_alive = 1h});
  patient.load("a");
  patient.sweep();
  EXPECT_EQ(names(patient), (Names{"a"}));
  EXPECT_GT(*patient.next_sweep(), Clock::now() + 50min);
}

TEST_F(ModelStoreTest, AModelThatCannotBeLoadedLeavesTheOthers) {
  ModelSource broken = source("broken");
  broken.load = [](int64_t, std::optional<int64_t>) -> std::unique_ptr<ImageModel> {
    throw CheckpointError("[file] broken");
  };
  sources.add(std::move(broken));
  ModelStore store = make({.max_loaded = 1});
  store.load("a");
  EXPECT_THROW(store.load("broken"), CheckpointError);
  EXPECT_EQ(names(store), (Names{"a"}));
}

}  // namespace
}  // namespace sdrbee::engine
