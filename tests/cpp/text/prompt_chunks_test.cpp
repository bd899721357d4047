#include "sdrbee/text/prompt_chunks.h"

#include <ATen/ops/tensor.h>
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

std::vector<PromptSection> marked(std::string_view prompt) {
  return parse_prompt(prompt, PromptSyntax::A1111);
}

TEST(ChunkPrompt, GivesEachTokenItsWeight) {
  const TokenRows rows = chunk_prompt(tokenizer(), marked("a (a a:1.5) [a]"));
  EXPECT_EQ(word_counts(rows), (Counts{4}));
  const std::vector<double>& weights = rows.weights.at(0);
  ASSERT_EQ(weights.size(), 77U);
  EXPECT_EQ(std::vector(weights.begin(), weights.begin() + 6),
            (std::vector<double>{1, 1, 1.5, 1.5, 1 / 1.1, 1}));
  EXPECT_EQ(std::count(weights.begin(), weights.end(), 1.0), 74);
}

TEST(ChunkPrompt, KeepsWeightsBesideTheirTokensInLaterRows) {
  const TokenRows rows = chunk_prompt(tokenizer(), marked(words(74) + "(" + words(3) + ":2)"));
  EXPECT_EQ(word_counts(rows), (Counts{75, 2}));
  EXPECT_EQ(std::count(rows.weights[0].begin(), rows.weights[0].end(), 2.0), 1);
  EXPECT_EQ(rows.weights[0][75], 2.0);
  EXPECT_EQ(rows.weights[1][1], 2.0);
  EXPECT_EQ(rows.weights[1][2], 2.0);
  EXPECT_EQ(rows.weights[1][3], 1.0);
}

TEST(ChunkPrompt, BeginsARowAtEachSection) {
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), marked("a a BREAK a"))), (Counts{2, 1}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), marked("a BREAK BREAK a"))), (Counts{1, 0, 1}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), marked("BREAK a"))), (Counts{0, 1}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), marked("a BREAK"))), (Counts{1}));
  EXPECT_EQ(word_counts(chunk_prompt(tokenizer(), marked(words(75) + "BREAK a"))), (Counts{75, 1}));
}

TEST(TruncatePrompt, PutsSectionsIntoOneRow) {
  EXPECT_EQ(word_counts(truncate_prompt(tokenizer(), marked("a a BREAK (a:2)"))), (Counts{3}));
}

// Weights 1, 2, 1 on states 1, 2, 3 of one channel: 1, 4, 3 has the mean 8/3 where 2 is wanted.
TEST(WeightedStates, KeepTheMeanOfEachRow) {
  const Tensor states = at::tensor({1., 2., 3.}, at::kFloat).reshape({1, 3, 1});
  TokenRows rows;
  rows.weights = {{1, 2, 1}};
  rows.rows = {{0, 1, 2}};
  const Tensor weighted = weighted_states(states, rows);
  EXPECT_TRUE(weighted.flatten().equal(at::tensor({1., 4., 3.}, at::kFloat)));
  const Tensor scaled = with_mean_of(states, weighted);
  EXPECT_TRUE(scaled.flatten().allclose(at::tensor({0.75, 3., 2.25}, at::kFloat)));
}

TEST(WeightedStates, AreTheSameTensorWithoutWeights) {
  const Tensor states = at::tensor({1., 2., 3.}, at::kFloat).reshape({1, 3, 1});
  TokenRows rows;
  rows.weights = {{1, 1, 1}};
  rows.rows = {{0, 1, 2}};
  EXPECT_TRUE(with_mean_of(states, weighted_states(states, rows)).is_same(states));
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
