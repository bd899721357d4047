#include "sdrbee/text/bpe_tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "io/hexadecimal.h"
#include "io/temporary_folder.h"
#include "sdrbee/core/error.h"
#include "sdrbee/text/qwen_vocabulary.h"
#include "sdrbee/text/unicode.h"
#include "support/golden.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::testing::expect_error;
using io::testing::TemporaryFolder;
using io::testing::write_text;
using nlohmann::json;

const fs::path kGolden = test::golden_path("bpe_tokenizer");

// tests/python/golden/make_bpe_tokenizer.py wrote the golden with transformers 5.23.0:
//   ids = tokenizer(text).input_ids; text = tokenizer.decode(ids)
void expect_golden(const fs::path& vocabulary) {
  const BpeTokenizer tokenizer(read_qwen_vocabulary(vocabulary));
  std::ifstream file(kGolden / "golden.json");
  const auto rows = json::parse(file);
  EXPECT_GT(rows.size(), 150U);
  for (const auto& row : rows) {
    const auto ids = row["ids"].get<std::vector<int64_t>>();
    EXPECT_EQ(tokenizer.encode(io::testing::string_from_hexadecimal(row["utf8"])), ids)
        << row["text"];
    EXPECT_EQ(tokenizer.decode(ids), row["text"].get<std::string>());
  }
}

TEST(BpeTokenizer, EqualsHuggingFacesWithVocabAndMerges) { expect_golden(kGolden); }

TEST(BpeTokenizer, EqualsHuggingFacesWithTokenizerJson) { expect_golden(kGolden / "saved"); }

/// Bytes only, so that tokens are the bytes of words, and `extra` tokens with their rules.
BpeVocabulary byte_vocabulary() {
  BpeVocabulary vocabulary;
  for (size_t byte = 0; byte < 256; ++byte) {
    std::string token;
    append_utf8(token, byte_characters()[byte]);
    vocabulary.ids[token] = static_cast<int64_t>(byte);
  }
  vocabulary.ids["bc"] = 256;
  vocabulary.ids["ab"] = 257;
  vocabulary.ids["\u0120a"] = 258;  // " a"
  vocabulary.merges = {{"b", "c"}, {"a", "b"}, {"\u0120", "a"}};
  vocabulary.added_tokens = {{.content = "<end>", .id = 300}};
  return vocabulary;
}

TEST(BpeTokenizer, MergesTheEarliestRuleFirst) {
  const BpeTokenizer tokenizer(byte_vocabulary());
  EXPECT_EQ(tokenizer.encode("abc"), (std::vector<int64_t>{'a', 256}));
  EXPECT_EQ(tokenizer.encode("abab"), (std::vector<int64_t>{257, 257}));
}

TEST(BpeTokenizer, MergesWithinWordsOnly) {
  const BpeTokenizer tokenizer(byte_vocabulary());
  // Of two spaces the last belongs to the word behind them.
  EXPECT_EQ(tokenizer.encode("b  a"), (std::vector<int64_t>{'b', ' ', 258}));
  // A line break belongs to no letters.
  EXPECT_EQ(tokenizer.encode("\na b"), (std::vector<int64_t>{'\n', 'a', ' ', 'b'}));
  EXPECT_EQ(tokenizer.encode("a<end>b"), (std::vector<int64_t>{'a', 300, 'b'}));
  EXPECT_EQ(tokenizer.decode(std::vector<int64_t>{'a', 300, 258}), "a<end> a");
}

TEST(BpeTokenizer, NamesARuleThatTheVocabularyLacks) {
  BpeVocabulary vocabulary = byte_vocabulary();
  vocabulary.merges.emplace_back("a", "c");
  expect_error<CheckpointError>([&] { BpeTokenizer tokenizer(vocabulary); }, "'a c'", "'ac'");
}

TEST(QwenVocabulary, IsToldFromThoseOfClip) {
  const TemporaryFolder folder;
  write_text(folder / "clip/tokenizer.json",
             R"({"model": {"type": "BPE", "end_of_word_suffix": "</w>"}})");
  write_text(folder / "old/vocab.json", R"({"a": 0, "a</w>": 1})");
  fs::create_directories(folder / "qwen/tokenizer");
  fs::copy(kGolden / "saved/tokenizer.json", folder / "qwen/tokenizer/tokenizer.json");
  const std::vector<fs::path> places = {folder / "none", folder / "clip", folder / "old",
                                        folder / "qwen", kGolden};
  const std::span all(places);
  EXPECT_EQ(find_qwen_vocabulary("model.safetensors", all),
            folder / "qwen/tokenizer/tokenizer.json");
  EXPECT_EQ(find_qwen_vocabulary("model.safetensors", all.subspan(4)), kGolden / "vocab.json");
  expect_error<CheckpointError>([&] { find_qwen_vocabulary("model.safetensors", all.first(3)); },
                                "model.safetensors", places[2].string(), "SDRBEE_QWEN_VOCABULARY");
}

}  // namespace
}  // namespace sdrbee::text
