#include "sdrbee/text/prompt_syntax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace sdrbee::text {
namespace {

std::vector<PromptSection> read(std::string_view prompt) {
  return parse_prompt(prompt, PromptSyntax::A1111);
}

void expect_pieces(std::string_view prompt, const PromptSection& expected) {
  const std::vector<PromptSection> sections = read(prompt);
  ASSERT_EQ(sections.size(), 1U) << prompt;
  ASSERT_EQ(sections[0].size(), expected.size()) << prompt;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(sections[0][i].text, expected[i].text) << prompt;
    EXPECT_NEAR(sections[0][i].weight, expected[i].weight, 1e-12) << prompt;
  }
}

TEST(ParsePrompt, TakesAPlainPromptAsItIs) {
  const std::string prompt = R"(a (very:1.3) [big] \( BREAK :))";
  EXPECT_EQ(parse_prompt(prompt, PromptSyntax::Plain),
            (std::vector<PromptSection>{{{prompt, 1.0}}}));
}

TEST(ParsePrompt, WeighsWhatIsInBrackets) {
  expect_pieces("a (red) star", {{"a ", 1}, {"red", 1.1}, {" star", 1}});
  expect_pieces("a [red] star", {{"a ", 1}, {"red", 1 / 1.1}, {" star", 1}});
  expect_pieces("a (red:1.3) star", {{"a ", 1}, {"red", 1.3}, {" star", 1}});
  expect_pieces("(red: +.5 )", {{"red", 0.5}});
  expect_pieces("(red:-2.)", {{"red", -2}});
}

TEST(ParsePrompt, MultipliesWhatIsNested) {
  expect_pieces("((red))", {{"red", 1.21}});
  expect_pieces("[[[red]]]", {{"red", 1 / 1.331}});
  expect_pieces("([red])", {{"red", 1}});
  expect_pieces("(a (red:1.3) b:0.5)", {{"a ", 0.5}, {"red", 0.65}, {" b", 0.5}});
}

TEST(ParsePrompt, LetsBracketsOfTwoKindsOverlap) {
  expect_pieces("([a)b]", {{"a", 1}, {"b", 1 / 1.1}});
}

// The example of A1111's own documentation, worked out: the brackets before `house` are three, of
// which the one with 1.3 and one more are closed and the first never is.
TEST(ParsePrompt, EndsWhatIsNotClosedWithThePrompt) {
  expect_pieces("a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
                {{"a ", 1},
                 {"house", 1.3 * 1.1 * 1.1},
                 {" ", 1.1},
                 {"on", 1},
                 {" a ", 1.1},
                 {"hill", 0.55},
                 {", sun, ", 1.1},
                 {"sky", 1.1 * 1.1 * 1.1 * 1.1},
                 {".", 1.1}});
  expect_pieces("((((", {});
  expect_pieces("[a", {{"a", 1 / 1.1}});
}

TEST(ParsePrompt, TakesWhatCannotBeAMarkAsText) {
  expect_pieces("a) b] c:1.3)", {{"a) b] c:1.3)", 1}});
  expect_pieces("(a:.)", {{"a:.", 1.1}});
  expect_pieces("(a:1.2.3)", {{"a:1.2.3", 1.1}});
  expect_pieces("(a:)", {{"a:", 1.1}});
  expect_pieces("(a:b:1.3)", {{"a:b", 1.3}});
  expect_pieces("(a:" + std::string(400, '9') + ")", {{"a:" + std::string(400, '9'), 1.1}});
}

TEST(ParsePrompt, TakesEscapedBracketsAsText) {
  expect_pieces(R"(\(a\) \[b\] \\ c\d)", {{R"((a) [b] \ cd)", 1}});
  expect_pieces(R"((a\):1.3))", {{"a)", 1.3}});
  expect_pieces("a\\", {{"a", 1}});
}

TEST(ParsePrompt, JoinsNeighboursOfOneWeight) {
  expect_pieces("(unnecessary)(brackets)", {{"unnecessarybrackets", 1.1}});
}

TEST(ParsePrompt, BeginsASectionAtBreak) {
  EXPECT_EQ(read("a cat BREAK  a dog"),
            (std::vector<PromptSection>{{{"a cat", 1.0}}, {{"a dog", 1.0}}}));
  EXPECT_EQ(read("a BREAK BREAK b"), (std::vector<PromptSection>{{{"a", 1.0}}, {}, {{"b", 1.0}}}));
  EXPECT_EQ(read("BREAKFAST, OUTBREAK"),
            (std::vector<PromptSection>{{{"BREAKFAST, OUTBREAK", 1.0}}}));
  const std::vector<PromptSection> bracketed = read("(a BREAK b:2)");
  EXPECT_EQ(bracketed, (std::vector<PromptSection>{{{"a", 2.0}}, {{"b", 2.0}}}));
}

TEST(ParsePrompt, HoldsWeightsWithinBounds) {
  expect_pieces("((a:9000):9000)", {{"a", 1e4}});
  expect_pieces("((a:9000):-9000)", {{"a", -1e4}});
}

TEST(ParsePrompt, HasAResultForAnyString) {
  constexpr std::string_view kAlphabet = "()[]\\:.|+-19aB ,\"\n\xc3\xa9";
  std::mt19937 random(7);
  for (int round = 0; round < 100'000; ++round) {
    std::string prompt(random() % 24, ' ');
    for (char& character : prompt) character = kAlphabet[random() % kAlphabet.size()];
    if (random() % 8 == 0) prompt.insert(random() % (prompt.size() + 1), " BREAK ");
    const std::vector<PromptSection> sections = read(prompt);
    ASSERT_FALSE(sections.empty()) << prompt;
    for (const PromptSection& section : sections)
      for (const WeightedText& piece : section) {
        ASSERT_FALSE(piece.text.empty()) << prompt;
        ASSERT_TRUE(std::isfinite(piece.weight)) << prompt;
      }
  }
}

TEST(ParsePrompt, TakesLinearTime) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "(a";
  const std::vector<PromptSection> sections = read(deep);
  EXPECT_EQ(sections[0].back().weight, 1e4);
}

TEST(Unmarked, LeavesTheWordsAlone) {
  EXPECT_EQ(unmarked(read("a (red:1.3) star BREAK [far] away")), "a red star far away");
}

TEST(FindPromptSyntax, KnowsTheNames) {
  EXPECT_EQ(find_prompt_syntax("a1111"), PromptSyntax::A1111);
  EXPECT_EQ(find_prompt_syntax("compel"), PromptSyntax::Compel);
  EXPECT_EQ(find_prompt_syntax("midjourney"), std::nullopt);
}

}  // namespace
}  // namespace sdrbee::text
