#include "sdrbee/text/clip_tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sdrbee/core/error.h"
#include "sdrbee/text/prompt_chunks.h"
#include "support/golden.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = test::golden_path("clip_tokenizer");

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// tests/python/golden/make_clip_tokenizer.py wrote the golden with transformers 5.23.0:
//   ids = tokenizer(text, add_special_tokens=False).input_ids; text = tokenizer.decode(ids)
//   row = tokenizer(text, padding="max_length", truncation=True).input_ids
void expect_golden(const fs::path& vocabulary, const fs::path& golden) {
  const ClipTokenizer tokenizer(read_clip_vocabulary(vocabulary));
  std::ifstream file(golden);
  const auto rows = nlohmann::json::parse(file);
  EXPECT_GT(rows.size(), 90U);
  for (const auto& row : rows) {
    const std::string text = from_hex(row["utf8"]);
    const auto ids = row["ids"].get<std::vector<int64_t>>();
    EXPECT_EQ(tokenizer.encode(text), ids) << row["text"];
    EXPECT_EQ(tokenizer.decode(ids), row["text"].get<std::string>());
    EXPECT_EQ(truncate_prompt(tokenizer, text).rows.at(0), row["row"].get<std::vector<int64_t>>());
  }
}

TEST(ClipTokenizer, EqualsHuggingFacesWithVocabAndMerges) {
  expect_golden(kGolden, kGolden / "golden.json");
}

TEST(ClipTokenizer, EqualsHuggingFacesWithTokenizerJsonAlone) {
  expect_golden(kGolden / "saved", kGolden / "golden.json");
}

TEST(ClipTokenizer, EqualsHuggingFacesWithAnotherPaddingTokenAndFlags) {
  const fs::path folder = kGolden / "pad_with_exclamation_mark";
  expect_golden(folder, folder / "golden.json");
}

// Bytes alone, and one merge chain: a b -> ab, ab c</w> -> abc</w>.
ClipVocabulary tiny_vocabulary() {
  ClipVocabulary vocabulary;
  int64_t id = 0;
  for (const std::string token : {"<|startoftext|>", "<|endoftext|>", "a", "b", "c", "a</w>",
                                  "b</w>", "c</w>", "ab", "abc</w>", "ba"})
    vocabulary.ids[token] = id++;
  vocabulary.merges = {{"a", "b"}, {"ab", "c</w>"}, {"b", "a"}};
  vocabulary.bos = 0;
  vocabulary.eos = vocabulary.pad = vocabulary.unknown = 1;
  return vocabulary;
}

using Ids = std::vector<int64_t>;

TEST(ClipTokenizer, MergesTheEarliestRuleFirst) {
  const ClipTokenizer tokenizer(tiny_vocabulary());
  EXPECT_EQ(tokenizer.encode("abc"), (Ids{9}));
  EXPECT_EQ(tokenizer.encode("bab"), (Ids{10, 6}));  // the last b ends the word: "b</w>"
  EXPECT_EQ(tokenizer.encode("babc"), (Ids{3, 9}));
  EXPECT_EQ(tokenizer.encode("ABC cab"), (Ids{9, 4, 2, 6}));
}

TEST(ClipTokenizer, GivesTheUnknownIdToEachUnknownByte) {
  const ClipTokenizer tokenizer(tiny_vocabulary());
  EXPECT_EQ(tokenizer.encode("x"), (Ids{1}));
  EXPECT_EQ(tokenizer.encode("\xC3\xA9"), (Ids{1, 1}));
}

TEST(ClipTokenizer, FindsAnAddedTokenOnlyBetweenWordBoundariesWhenAsked) {
  ClipVocabulary vocabulary = tiny_vocabulary();
  const int64_t anywhere = add_token(vocabulary, {.content = "ba"});
  EXPECT_EQ(anywhere, 10);
  EXPECT_EQ(ClipTokenizer(vocabulary).encode("abab ba"), (Ids{5, 10, 6, 10}));
  EXPECT_EQ(add_token(vocabulary, {.content = "ba", .single_word = true}), 10);
  EXPECT_EQ(ClipTokenizer(vocabulary).encode("abab ba"), (Ids{8, 2, 6, 10}));
}

TEST(ClipTokenizer, NumbersNewTokensBehindTheVocabulary) {
  ClipVocabulary vocabulary = tiny_vocabulary();
  EXPECT_EQ(add_token(vocabulary, {.content = "<style>"}), 11);
  EXPECT_EQ(add_token(vocabulary, {.content = "<other>", .normalized = true}), 12);
  const ClipTokenizer tokenizer(vocabulary);
  EXPECT_EQ(tokenizer.encode("a<style>b"), (Ids{5, 11, 6}));
  EXPECT_EQ(tokenizer.encode("a <OTHER>b"), (Ids{5, 12, 6}));
  EXPECT_EQ(tokenizer.max_id(), 12);
}

TEST(ClipTokenizer, RejectsAMergeOfTokensThatAreMissing) {
  ClipVocabulary vocabulary = tiny_vocabulary();
  vocabulary.merges.push_back({"b", "c</w>"});
  try {
    ClipTokenizer tokenizer(vocabulary);
    FAIL();
  } catch (const CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("'bc</w>'"), std::string::npos) << error.what();
  }
}

TEST(ClipTokenizer, TakesLongWordsAndLongRunsOfMarksInNearlyLinearTime) {
  const ClipTokenizer tokenizer(read_clip_vocabulary(kGolden));
  std::string marks = "a";
  for (int i = 0; i < 25'000; ++i) marks += i % 2 == 0 ? "\xCC\x81" : "\xCC\xA3";  // U+0301 U+0323
  const auto start = std::chrono::steady_clock::now();
  EXPECT_GT(tokenizer.encode(std::string(100'000, 'e')).size(), 10'000U);
  EXPECT_GT(tokenizer.encode(marks).size(), 10'000U);
  // Quadratic time would take minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace sdrbee::text
