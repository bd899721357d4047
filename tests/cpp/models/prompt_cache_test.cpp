#include "sdrbee/models/prompt_cache.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

namespace sdrbee {
namespace {

/// An encoder that counts how often it is asked.
struct FakeEncoder {
  PromptCache& cache;
  int64_t count = 0;

  std::vector<Tensor> encode(const std::string& key, double value = 1) {
    return cache.get_or_make(key, [&]() -> std::vector<Tensor> {
      ++count;
      return {at::full({100}, value, at::kFloat), Tensor()};
    });
  }
};

TEST(PromptCacheTest, TheSecondTimeIsNotEncoded) {
  PromptCache cache;
  FakeEncoder encoder{cache};
  const std::vector<Tensor> first = encoder.encode("a", 7);
  const std::vector<Tensor> second = encoder.encode("a", 8);
  EXPECT_EQ(encoder.count, 1);
  EXPECT_TRUE(second[0].equal(first[0]));
  EXPECT_FALSE(second[1].defined());
  encoder.encode("b");
  EXPECT_EQ(encoder.count, 2);
}

TEST(PromptCacheTest, TheLeastRecentlyUsedGoes) {
  PromptCache cache(900);  // two of 401 bytes
  FakeEncoder encoder{cache};
  encoder.encode("a");
  encoder.encode("b");
  encoder.encode("a");
  encoder.encode("c");
  EXPECT_EQ(encoder.count, 3);
  EXPECT_EQ(cache.bytes(), 802);
  encoder.encode("a");
  EXPECT_EQ(encoder.count, 3);
  encoder.encode("b");
  EXPECT_EQ(encoder.count, 4);
}

TEST(PromptCacheTest, WhatIsLargerThanAllOfItIsNotKept) {
  PromptCache cache(100);
  FakeEncoder encoder{cache};
  encoder.encode("a");
  encoder.encode("a");
  EXPECT_EQ(encoder.count, 2);
  EXPECT_EQ(cache.bytes(), 0);
}

TEST(PromptCacheTest, KeysTellEncodersAndTokensApart) {
  EXPECT_NE(prompt_key("text_encoder", {1, 2}), prompt_key("text_encoder", {2, 1}));
  EXPECT_NE(prompt_key("text_encoder", {1, 2}), prompt_key("text_encoder_2", {1, 2}));
  EXPECT_NE(prompt_key("text_encoder", {}), prompt_key("text_encoder", {0}));
  EXPECT_EQ(prompt_key("text_encoder", {1, 2}), prompt_key("text_encoder", {1, 2}));
}

}  // namespace
}  // namespace sdrbee
