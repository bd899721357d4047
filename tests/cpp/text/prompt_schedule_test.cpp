#include "sdrbee/text/prompt_schedule.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>

#include "sdrbee/core/error.h"

namespace sdrbee::text {
namespace {

constexpr PassSteps kTen{.count = 10};
// The second pass of the same picture.
constexpr PassSteps kTenMore{.count = 10, .earlier = 10, .second = true};

using Spans = std::vector<std::pair<int64_t, std::string>>;

Spans spans(std::string_view prompt, PassSteps steps = kTen) {
  const PromptSchedule schedule = schedule_prompt(prompt, steps);
  Spans all;
  for (const auto& [until, text] : schedule.spans())
    all.emplace_back(until == std::numeric_limits<int64_t>::max() ? steps.count : until,
                     schedule.texts()[text]);
  return all;
}

TEST(SchedulePrompt, ChangesAtAStep) {
  EXPECT_EQ(spans("test"), (Spans{{10, "test"}}));
  EXPECT_EQ(spans("a [b:3]"), (Spans{{3, "a "}, {10, "a b"}}));
  EXPECT_EQ(spans("a [b::3]"), (Spans{{3, "a b"}, {10, "a "}}));
  EXPECT_EQ(spans("a [b : c : 1 ] d"), (Spans{{1, "a b  d"}, {10, "a  c  d"}}));
  EXPECT_EQ(spans("a [[[b]]:2]"), (Spans{{2, "a "}, {10, "a [[b]]"}}));
  EXPECT_EQ(spans("[(a:2):3]"), (Spans{{3, ""}, {10, "(a:2)"}}));
}

TEST(SchedulePrompt, ChangesAfterAPartOfTheSteps) {
  EXPECT_EQ(spans("a [b:.5] c"), (Spans{{5, "a  c"}, {10, "a b c"}}));
  EXPECT_EQ(spans("[a:b:0.25]", {.count = 20}), (Spans{{5, "a"}, {20, "b"}}));
  EXPECT_EQ(spans("[a:b:0.29]", {.count = 100}), (Spans{{28, "a"}, {100, "b"}}));  // 28.999...
  EXPECT_EQ(spans("[a:b:1.0]"), (Spans{{10, "a"}}));
  EXPECT_EQ(spans("[a:b:0.05]"), (Spans{{10, "b"}}));  // half a step is none
}

TEST(SchedulePrompt, HoldsTheStepWithinThePass) {
  EXPECT_EQ(spans("[a:b:0]"), (Spans{{10, "b"}}));
  EXPECT_EQ(spans("[a:b:-3]"), (Spans{{10, "b"}}));
  EXPECT_EQ(spans("[a:b:99]"), (Spans{{10, "a"}}));
  EXPECT_EQ(spans("[a:b:1e300]"), (Spans{{10, "a"}}));
}

TEST(SchedulePrompt, Nests) {
  EXPECT_EQ(spans("a[b:[c:d:2]:1]e"), (Spans{{1, "abe"}, {2, "ace"}, {10, "ade"}}));
}

// The picture of A1111's documentation of its parser, in 100 steps.
TEST(SchedulePrompt, ChangesSeveralThings) {
  EXPECT_EQ(
      spans("fantasy landscape with a [mountain:lake:0.25] and [an oak:a christmas "
            "tree:0.75][ in foreground::0.6][ in background:0.25] [shoddy:masterful:0.5]",
            {.count = 100}),
      (Spans{
          {25, "fantasy landscape with a mountain and an oak in foreground shoddy"},
          {50, "fantasy landscape with a lake and an oak in foreground in background shoddy"},
          {60, "fantasy landscape with a lake and an oak in foreground in background masterful"},
          {75, "fantasy landscape with a lake and an oak in background masterful"},
          {100, "fantasy landscape with a lake and a christmas tree in background masterful"},
      }));
}

TEST(SchedulePrompt, TakesTurns) {
  EXPECT_EQ(spans("[a|(b:1.1)]", {.count = 4}),
            (Spans{{1, "a"}, {2, "(b:1.1)"}, {3, "a"}, {4, "(b:1.1)"}}));
  EXPECT_EQ(spans("[fe|||]male", {.count = 5}), (Spans{{1, "female"}, {4, "male"}, {5, "female"}}));
  EXPECT_EQ(spans("[a|b] [c|d|e]", {.count = 6}),
            (Spans{{1, "a c"}, {2, "b d"}, {3, "a e"}, {4, "b c"}, {5, "a d"}, {6, "b e"}}));
}

TEST(SchedulePrompt, CountsOnInTheSecondPass) {
  EXPECT_EQ(spans("a [b:.5] c", kTenMore), (Spans{{10, "a b c"}}));
  EXPECT_EQ(spans("a [b:1.5] c"), (Spans{{10, "a  c"}}));
  EXPECT_EQ(spans("a [b:1.5] c", kTenMore), (Spans{{5, "a  c"}, {10, "a b c"}}));
  EXPECT_EQ(spans("a [b:13] c", kTenMore), (Spans{{3, "a  c"}, {10, "a b c"}}));
  EXPECT_EQ(spans("a [b:3] c", kTenMore), (Spans{{10, "a b c"}}));
}

TEST(SchedulePrompt, LeavesWhatIsNoScheduleAsItIs) {
  for (const char* const prompt :
       {"a [unbalanced", "[a:b]", "[a:b:c:3]", "(a:b:3)", "[a:(3)]", "[a (b:3]", "a:b", "[a]", "\\",
        "[a:b:3", "a]", "", "[a:b:\\3]", "((((", "[a:b:", "(a:.)"})
    EXPECT_EQ(spans(prompt), (Spans{{10, prompt}})) << prompt;
  EXPECT_EQ(spans("((a][:b:c [d:3]"), (Spans{{3, "((a][:b:c "}, {10, "((a][:b:c d"}}));
  EXPECT_EQ(spans("[x [a:b] [c:3] :5]"), (Spans{{3, "[x [a:b]  :5]"}, {10, "[x [a:b] c :5]"}}));
}

// A1111's grammar has no place for a bar outside of brackets: nothing of the prompt is read then.
TEST(SchedulePrompt, ReadsNothingBesideAStrayBar) {
  for (const char* const prompt : {"a|b [c:3]", "(a|b) [c:3]", "[a|b:3] [c:3]", "[c:3] \\"})
    EXPECT_EQ(spans(prompt), (Spans{{10, prompt}})) << prompt;
  EXPECT_EQ(spans("a\\|b [c:3]"), (Spans{{3, "a\\|b "}, {10, "a\\|b c"}}));
}

TEST(SchedulePrompt, LeavesEscapedBracketsAlone) {
  EXPECT_EQ(spans("\\[a:b:3]"), (Spans{{10, "\\[a:b:3]"}}));
  EXPECT_EQ(spans("[a\\:b:3]"), (Spans{{3, ""}, {10, "a\\:b"}}));
}

// A1111 compares the number of steps that are behind with the step until which a text is used, so
// that the first text of all has one step more.
TEST(PromptScheduleAt, GivesTheFirstTextOneStepMore) {
  const PromptSchedule schedule = schedule_prompt("[a|b]", kTen);
  std::string texts;
  for (int64_t taken = 0; taken < 12; ++taken) texts += schedule.at(taken);
  EXPECT_EQ(texts,
            "aababababa"
            "bb");
}

TEST(SchedulePrompt, RefusesTooManyTexts) {
  EXPECT_THROW(
      schedule_prompt("[a|b|c|d|e|f|g] [a|b|c|d|e|f|g|h|i|j|k] [a|b|c|d|e]", {.count = 1000}),
      InvalidRequest);
  EXPECT_EQ(schedule_prompt("[a|b]", {.count = 10'000}).texts().size(), 2U);
}

TEST(SchedulePrompt, HasAResultForAnyString) {
  constexpr std::string_view kAlphabet = "()[]\\:|.+-19e aB\n";
  std::mt19937 random(11);
  for (int round = 0; round < 100'000; ++round) {
    std::string prompt(random() % 20, ' ');
    for (char& character : prompt) character = kAlphabet[random() % kAlphabet.size()];
    const PromptSchedule schedule = schedule_prompt(prompt, {.count = 7});
    ASSERT_GE(schedule.spans().back().until, 7) << prompt;
    for (int64_t taken = 0; taken < 8; ++taken)
      ASSERT_LE(schedule.at(taken).size(), prompt.size()) << prompt;
  }
}

TEST(SchedulePrompt, TakesLinearTime) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += '[';
  EXPECT_EQ(spans(deep + "a"), (Spans{{10, deep + "a"}}));
  EXPECT_EQ(spans(deep + "a" + std::string(deep.size(), ']')).size(), 1U);
}

using Parts = std::vector<ComposedText>;

TEST(SplitComposition, SplitsAtAnd) {
  EXPECT_EQ(split_composition("a cat"), (Parts{{"a cat", 1.0}}));
  EXPECT_EQ(split_composition("a cat :1.2 AND a dog AND a penguin:-.5 "),
            (Parts{{"a cat", 1.2}, {" a dog", 1.0}, {" a penguin", -0.5}}));
  EXPECT_EQ(split_composition("a cat :2"), (Parts{{"a cat", 2.0}}));
  EXPECT_EQ(split_composition("SAND and BRAND"), (Parts{{"SAND and BRAND", 1.0}}));
  EXPECT_EQ(split_composition("(a:1.2) AND b:c"), (Parts{{"(a:1.2)", 1.0}, {" b:c", 1.0}}));
  EXPECT_EQ(split_composition("AND"), (Parts{{"", 1.0}, {"", 1.0}}));
  EXPECT_EQ(split_composition("a:1e9 AND b:99999999"), (Parts{{"a:1e9", 1.0}, {" b", 1e4}}));
}

TEST(SplitComposition, RefusesTooManyParts) {
  std::string prompt = "a";
  for (size_t i = 1; i < kMaxParts; ++i) prompt += " AND a";
  EXPECT_EQ(split_composition(prompt).size(), kMaxParts);
  EXPECT_THROW(split_composition(prompt + " AND a"), InvalidRequest);
}

}  // namespace
}  // namespace sdrbee::text
