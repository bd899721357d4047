#include "sdrbee/text/compel_prompt.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "sdrbee/core/error.h"

namespace sdrbee::text {
namespace {

// Expected pieces are what compel 2.5.1 makes of the prompts:
//   from compel.prompt_parser import PromptParser
//   PromptParser().parse_conjunction(prompt)

CompelPrompt read(std::string_view prompt) { return parse_compel(prompt, "prompt"); }

void expect_same(const PromptSection& got, const PromptSection& expected, std::string_view prompt) {
  ASSERT_EQ(got.size(), expected.size()) << prompt;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(got[i].text, expected[i].text) << prompt;
    EXPECT_NEAR(got[i].weight, expected[i].weight, 1e-12) << prompt;
  }
}

void expect_text(std::string_view prompt, const PromptSection& expected) {
  const CompelPrompt got = read(prompt);
  ASSERT_EQ(got.parts.size(), 1U) << prompt;
  EXPECT_EQ(got.parts[0].weight, 1.0) << prompt;
  expect_same(got.parts[0].pieces, expected, prompt);
}

void expect_parts(std::string_view prompt, bool blended,
                  const std::vector<CompelPrompt::Part>& expected) {
  const CompelPrompt got = read(prompt);
  EXPECT_EQ(got.blended, blended) << prompt;
  ASSERT_EQ(got.parts.size(), expected.size()) << prompt;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(got.parts[i].weight, expected[i].weight, 1e-12) << prompt;
    expect_same(got.parts[i].pieces, expected[i].pieces, prompt);
  }
}

TEST(ParseCompel, WeighsWordsBySigns) {
  expect_text("a cat++ here", {{"a", 1}, {"cat", 1.21}, {"here", 1}});
  expect_text("a cat- here", {{"a", 1}, {"cat", 0.9}, {"here", 1}});
  expect_text("cat+++, dog", {{"cat", 1.331}, {", dog", 1}});
  expect_text("a+-", {{"a", 1.1}, {"-", 1}});
  expect_text("a++b", {{"a", 1.21}, {"b", 1}});
  expect_text("caf\xc3\xa9++", {{"caf\xc3\xa9", 1.21}});
}

TEST(ParseCompel, WeighsBracketsAndQuotations) {
  expect_text("a (red ball)1.3 b", {{"a", 1}, {"red ball", 1.3}, {"b", 1}});
  expect_text("(red ball)-- b", {{"red ball", 0.81}, {"b", 1}});
  expect_text("(a, b)1.5b", {{"a , b", 1.5}, {"b", 1}});
  expect_text("a \"quoted bit\"++ x", {{"a", 1}, {"quoted bit", 1.21}, {"x", 1}});
  expect_text("a (b).attend(1.5) c .attend(--) d", {{"a", 1}, {"b", 1.5}, {"c", 0.81}, {"d", 1}});
  expect_text("(a)0 (b).5 (c)2. d", {{"a", 0}, {"b", 0.5}, {"c", 2}, {"d", 1}});
}

TEST(ParseCompel, MultipliesWhatIsNested) {
  expect_text("((a b)++ c)-", {{"a b", 1.089}, {"c", 0.9}});
  expect_text("(a (b (c)1.5)1.2)0.5", {{"a", 0.5}, {"b", 0.6}, {"c", 0.9}});
}

TEST(ParseCompel, JoinsNeighboursOfOneWeight) { expect_text("(a)(b)c (d)1.0", {{"a b c d", 1}}); }

TEST(ParseCompel, TakesWhatCannotBeAMarkAsText) {
  expect_text("a ++", {{"a ++", 1}});
  expect_text("(a) 1.5", {{"a 1.5", 1}});
  expect_text("3.5 a.b.c well-known", {{"3.5 a.b.c well-known", 1}});
  expect_text("cat,dog", {{"cat, dog", 1}});
  expect_text("(a)-0.5", {{"a", 0.9}, {"0.5", 1}});
  expect_text("[a:b:0.5] (c:1.3)", {{"[a:b:0.5] c:1 . 3", 1}});
}

TEST(ParseCompel, TakesUnbalancedBracketsAsText) {
  expect_text("((((", {{"((((", 1}});
  expect_text("a (b", {{"a (b", 1}});
  expect_text("a b)++", {{"a b)++", 1}});
  expect_text("(a (b)1.3", {{"(a", 1}, {"b", 1.3}});
  expect_text("\"a (b)+", {{"\"a", 1}, {"b", 1.1}});
  expect_text("(a, \"b.and()", {{"(a, \"b.and()", 1}});
  expect_text("", {});
  expect_text("()", {});
}

TEST(ParseCompel, TakesEscapedMarksAsText) {
  expect_text(R"(a \(b\) c)", {{"a (b) c", 1}});
  expect_text(R"((b\))1.3)", {{"b)", 1.3}});
  // compel leaves these two backslashes in the text.
  expect_text(R"(c\+\+ d)", {{"c++ d", 1}});
  expect_text(R"(c\d \\)", {{R"(c\d \\)", 1}});
}

TEST(ParseCompel, PutsTextsBehindEachOther) {
  expect_parts("(\"a b\", c).and(1, 0.5)", false, {{{{"a b", 1}}, 1}, {{{"c", 1}}, 0.5}});
  expect_parts("(\"a++ b\", (c)).and()", false, {{{{"a", 1.21}, {"b", 1}}, 1}, {{{"c", 1}}, 1}});
  expect_parts("((), a).add(1, 2)", false, {{{{"a", 1}}, 2}});
}

TEST(ParseCompel, BlendsTexts) {
  expect_parts("(\"a b\", \"c d\").blend(0.2, 0.6)", true,
               {{{{"a b", 1}}, 0.25}, {{{"c d", 1}}, 0.75}});
  expect_parts("(a, b).blend()", true, {{{{"a", 1}}, 0.5}, {{{"b", 1}}, 0.5}});
  expect_parts("(\"a++ b\", \"(c)1.5\").blend(1, -1, no_normalize)", true,
               {{{{"a", 1.21}, {"b", 1}}, 1}, {{{"c", 1.5}}, -1}});
}

TEST(ParseCompel, RefusesWhatHasNoMeaningHere) {
  for (const char* const prompt :
       {"a cat.swap(dog)", "(a cat).swap(a dog, s_start=0.1) b", "withLora(x, 0.5) cat",
        "useLora(x)", "(a, b).and() c", "(a, b).blend(1, 1) c", "(a, b).blend(1)",
        "(a, b).and(1, 2, 3)", "(a, b).blend(1, -1)", "(a, b).and(x, y)",
        "(a, b).and(1, no_normalize)", "(a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q).and()"})
    EXPECT_THROW(read(prompt), InvalidRequest) << prompt;
  try {
    parse_compel("cat.swap(dog)", "negative_prompt");
    FAIL();
  } catch (const InvalidRequest& error) {
    EXPECT_NE(std::string(error.what()).find("[negative_prompt] .swap()"), std::string::npos);
  }
}

TEST(ParseCompel, HasAResultForAnyString) {
  constexpr std::string_view kAlphabet = "()()\"\\+-.,= 19aB\n\xc3\xa9";
  constexpr const char* kWords[] = {".and()", ".blend(1, 2)", ".swap(", ".attend(", "no_normalize"};
  std::mt19937 random(7);
  int refused = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string prompt(random() % 24, ' ');
    for (char& character : prompt) character = kAlphabet[random() % kAlphabet.size()];
    if (random() % 4 == 0)
      prompt.insert(random() % (prompt.size() + 1), kWords[random() % std::size(kWords)]);
    try {
      const CompelPrompt parsed = read(prompt);
      ASSERT_FALSE(parsed.parts.empty()) << prompt;
      for (const CompelPrompt::Part& part : parsed.parts) {
        ASSERT_TRUE(std::isfinite(part.weight)) << prompt;
        for (const WeightedText& piece : part.pieces)
          ASSERT_TRUE(piece.weight >= 0 && piece.weight <= 1e4) << prompt;
      }
    } catch (const InvalidRequest&) {
      ++refused;
    }
  }
  EXPECT_LT(refused, 5'000);
}

TEST(ParseCompel, TakesLinearTime) {
  for (const std::string_view unit : {"(a", "(a ", "((a)+ ", "\"(", "( \" ", "(a,\"b\""}) {
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += unit;
    EXPECT_FALSE(read(deep).parts.empty());
  }
  const CompelPrompt plus = read("a" + std::string(100'000, '+'));
  EXPECT_EQ(plus.parts[0].pieces[0].weight, 1e4);
}

}  // namespace
}  // namespace sdrbee::text
