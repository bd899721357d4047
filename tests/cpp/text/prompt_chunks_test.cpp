#include "sdrbee/text/prompt_chunks.h"

#include <gtest/gtest.h>

#include <numeric>

namespace sdrbee::text {
namespace {

constexpr int64_t kStart = 0, kEnd = 1, kPad = 2, kWord = 3, kComma = 4;

// "a" is one token, "," is one token.
ClipTokenizer tokenizer() {
  ClipVocabulary vocabulary;
  vocabulary.ids = {{"<|startoftext|>", kStart},
                    {"<|endoftext|>", kEnd},
                    {"<pad>", kPad},
                    {"a</w>", kWord},
                    {",</w>", kComma}};
  vocabulary.bos = kStart;
  vocabulary.eos = vocabulary.unknown = kEnd;
  vocabulary.pad = kPad;
  return ClipTokenizer(vocabulary);
}

std::string words(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "a ";
  return text;
}

int64_t word_count(const std::vector<int64_t>& row) {
  return std::count(row.begin(), row.end(), kWord) + std::count(row.begin(), row.end(), kComma);
}

std::vector<int64_t> word_counts(const TokenRows& rows) {
  std::vector<int64_t> counts;
  for (const auto& row : rows.rows) {
    EXPECT_EQ(row.size(), 77U);
    EXPECT_EQ(row[0], kStart);
    const auto count = static_cast<size_t>(word_count(row));
    EXPECT_EQ(row[count + 1], kEnd);
    for (size_t i = count + 2; i < row.size(); ++i) EXPECT_EQ(row[i], kPad);
    counts.push_back(word_count(row));
  }
  return counts;
}

using Counts = std::vector<int64_t>;

TEST(ChunkPrompt, GivesOneRowToAnEmptyPrompt) {
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), "")), (Counts{0}));
  EXPECT_EQ(word_counts(truncate_prompt(tokenizer(), "")), (Counts{0}));
}

TEST(ChunkPrompt, FillsRowsOf75Tokens) {
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(75))), (Counts{75}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(76))), (Counts{75, 1}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(200))), (Counts{75, 75, 50}));
}

TEST(ChunkPrompt, BreaksAfterTheLastCommaAmongTheLast20Tokens) {
  // The comma is token 56 of 75: the last that counts, 20 from the row's end.
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(55) + ", " + words(30))), (Counts{56, 30}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(54) + ", " + words(30))), (Counts{75, 10}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(60) + "," + words(3) + "," + words(30))),
            (Counts{65, 30}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(74) + "," + words(3))), (Counts{75, 3}));
}

TEST(ChunkPrompt, DoesNotBreakEarlierWhenTheNextTokenIsAComma) {
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(60) + "," + words(14) + "," + words(5))),
            (Counts{75, 6}));
}

TEST(ChunkPrompt, DoesNotBreakAPromptThatFits) {
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), words(70) + "," + words(4))), (Counts{75}));
}

TEST(TruncatePrompt, KeepsOneRowAndTellsWhatIsLost) {
  const TokenRows cut = truncate_prompt(tokenizer(), words(75) + ", a");
  EXPECT_EQ(word_counts(cut), (Counts{75}));
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.truncated_text, ", a");
  EXPECT_FALSE(truncate_prompt(tokenizer(), words(75)).truncated);
}

TEST(PadRows, AppendsEmptyRows) {
  TokenRows rows = chunk_prompt(tokenizer(), words(3));
  pad_rows(rows, 3, tokenizer());
  EXPECT_EQ(word_counts(rows), (Counts{3, 0, 0}));
  pad_rows(rows, 1, tokenizer());
  EXPECT_EQ(rows.rows.size(), 3U);
}

}  // namespace
}  // namespace sdrbee::text
