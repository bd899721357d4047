#include "sdrbee/models/weight_memory.h"

#include <gtest/gtest.h>

#include "sdrbee/core/error.h"

namespace sdrbee {
namespace {

/// A component without weights.
class FakeHolder final : public WeightHolder {
 public:
  FakeHolder(WeightMemory& memory, const std::string& name, int64_t bytes) : memory_(memory) {
    memory_.add(*this, name, bytes);
  }
  ~FakeHolder() override { memory_.remove(*this); }

  io::LoadQueue prepare() override {
    io::LoadQueue work;
    work.add([this] {
      if (damaged) throw CheckpointError("damaged");
      there = true;
    });
    return work;
  }
  void drop() override { there = keeps = false; }
  void drop_kept() override { keeps = false; }
  void keep(int64_t bytes) {
    keeps = true;
    memory_.note_kept(*this, bytes);
  }
  void use() { memory_.use(*this); }

  bool there = false;
  bool keeps = false;
  bool damaged = false;

 private:
  WeightMemory& memory_;
};

TEST(WeightMemoryTest, WithoutALimitNothingIsLetGo) {
  WeightMemory memory;
  FakeHolder text(memory, "text", int64_t{1} << 40);
  FakeHolder unet(memory, "unet", int64_t{1} << 41);
  text.use();
  unet.use();
  EXPECT_TRUE(text.there);
  memory.check_limit();
}

TEST(WeightMemoryTest, WhatIsKeptMakesRoomFirst) {
  WeightMemory memory(100);
  FakeHolder text(memory, "text", 40);
  FakeHolder unet(memory, "unet", 50);
  text.use();
  EXPECT_EQ(memory.may_keep(text), 60);
  text.keep(20);
  EXPECT_EQ(memory.may_keep(text), 60) << "its own counts for nothing";
  EXPECT_EQ(memory.states().at("text").kept_bytes, 20);
  EXPECT_EQ(memory.may_keep(unet), 40);
  unet.use();
  EXPECT_TRUE(text.there);
  EXPECT_FALSE(text.keeps);
  EXPECT_EQ(memory.states().at("text").kept_bytes, 0);
  EXPECT_EQ(memory.may_keep(unet), 10);
}

TEST(WeightMemoryTest, WithoutALimitLittleIsKept) {
  WeightMemory memory;
  FakeHolder text(memory, "text", int64_t{1} << 40);
  FakeHolder unet(memory, "unet", 1);
  text.use();
  text.keep(WeightMemory::kKeptBytes - 5);
  EXPECT_EQ(memory.may_keep(unet), 5);
}

TEST(WeightMemoryTest, LessMayBeKeptWhenToldSo) {
  WeightMemory memory;
  FakeHolder text(memory, "text", 40);
  FakeHolder unet(memory, "unet", 50);
  text.use();
  text.keep(20);
  memory.limit_kept(20);
  EXPECT_TRUE(text.keeps);
  EXPECT_EQ(memory.may_keep(unet), 0);
  memory.limit_kept(19);
  EXPECT_FALSE(text.keeps);
  EXPECT_EQ(memory.may_keep(unet), 19);
  EXPECT_EQ(memory.states().at("text").kept_bytes, 0);
  text.keep(1);
  memory.drop_kept();
  EXPECT_FALSE(text.keeps);
  memory.limit_kept(-1);
  EXPECT_EQ(memory.may_keep(unet), 0);
}

TEST(WeightMemoryTest, WhatRanTheLongestTimeAgoMakesRoom) {
  WeightMemory memory(100);
  FakeHolder text(memory, "text", 40);
  FakeHolder vae(memory, "vae", 30);
  FakeHolder unet(memory, "unet", 60);
  text.use();
  vae.use();
  text.use();
  unet.use();
  EXPECT_TRUE(text.there);
  EXPECT_FALSE(vae.there);
  EXPECT_TRUE(unet.there);
  vae.use();
  EXPECT_FALSE(text.there);
  EXPECT_TRUE(unet.there);
}

TEST(WeightMemoryTest, NoMoreThanNeededIsLetGo) {
  WeightMemory memory(100);
  FakeHolder text(memory, "text", 40);
  FakeHolder vae(memory, "vae", 40);
  FakeHolder unet(memory, "unet", 60);
  text.use();
  vae.use();
  unet.use();
  EXPECT_FALSE(text.there);
  EXPECT_TRUE(vae.there);
}

TEST(WeightMemoryTest, AsManyAreLetGoAsNeeded) {
  WeightMemory memory(100);
  FakeHolder text(memory, "text", 30);
  FakeHolder second(memory, "second", 30);
  FakeHolder vae(memory, "vae", 40);
  FakeHolder unet(memory, "unet", 60);
  text.use();
  second.use();
  vae.use();
  unet.use();
  EXPECT_FALSE(text.there);
  EXPECT_FALSE(second.there);
  EXPECT_TRUE(vae.there);
  EXPECT_TRUE(unet.there);
}

TEST(WeightMemoryTest, TellsLoadsAndUses) {
  WeightMemory memory(50);
  FakeHolder text(memory, "text", 40);
  FakeHolder unet(memory, "unet", 50);
  text.use();
  text.use();
  unet.use();
  text.use();
  const auto states = memory.states();
  EXPECT_EQ(states.at("text"),
            (ComponentMemory{.bytes = 40, .loaded = true, .loads = 2, .uses = 3}));
  EXPECT_EQ(states.at("unet"),
            (ComponentMemory{.bytes = 50, .loaded = false, .loads = 1, .uses = 1}));
}

TEST(WeightMemoryTest, LoadsAllThatFit) {
  WeightMemory memory(100);
  FakeHolder text(memory, "text", 30);
  FakeHolder unet(memory, "unet", 80);
  FakeHolder vae(memory, "vae", 70);
  memory.load_all();
  EXPECT_TRUE(text.there);
  EXPECT_FALSE(unet.there);
  EXPECT_TRUE(vae.there);
}

TEST(WeightMemoryTest, LoadingAllKeepsNothingWhenOneFails) {
  WeightMemory memory;
  FakeHolder text(memory, "text", 30);
  FakeHolder unet(memory, "unet", 80);
  unet.damaged = true;
  EXPECT_THROW(memory.load_all(), CheckpointError);
  EXPECT_FALSE(text.there);
  EXPECT_FALSE(memory.states().at("text").loaded);
  unet.damaged = false;
  memory.load_all();
  EXPECT_TRUE(text.there);
  EXPECT_TRUE(unet.there);
  EXPECT_EQ(memory.states().at("text").loads, 1);
}

TEST(WeightMemoryTest, RefusesALimitBelowTheLargestComponent) {
  WeightMemory memory((int64_t{1} << 30) - 1);
  FakeHolder text(memory, "text", 40);
  FakeHolder unet(memory, "unet", int64_t{1} << 30);
  try {
    memory.check_limit();
    FAIL() << "expected an error";
  } catch (const InvalidRequest& error) {
    const std::string text_of = error.what();
    for (const char* part : {"memory_limit", "unet", "1073741824", "1073741823"})
      EXPECT_NE(text_of.find(part), std::string::npos) << text_of;
  }
}

TEST(WeightMemoryTest, AComponentThatIsGoneCountsNoMore) {
  WeightMemory memory(100);
  FakeHolder unet(memory, "unet", 60);
  {
    FakeHolder vae(memory, "vae", 40);
    vae.use();
  }
  FakeHolder text(memory, "text", 40);
  unet.use();
  text.use();
  EXPECT_TRUE(unet.there);
  EXPECT_EQ(memory.states().size(), 2);
}

}  // namespace
}  // namespace sdrbee
