// Prompts that change from step to step, and prompts of several parts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sdrbee::text {

/// The steps of a pass that a prompt is laid over.
struct PassSteps {
  int64_t count = 1;    // of this pass
  int64_t earlier = 0;  // of the first pass, in the second; 0 in the first
  bool second = false;
};

/// The texts that a prompt has in the course of a pass.
class PromptSchedule {
 public:
  /// A text and the last step that has it, counted from 1.
  struct Span {
    int64_t until;
    size_t text;
  };

  /// A prompt that stays the same.
  explicit PromptSchedule(std::string text);
  PromptSchedule(std::vector<std::string> texts, std::vector<Span> spans);

  /// The text when so many steps of the pass are behind.
  const std::string& at(int64_t steps_taken) const;

  /// All different texts.
  const std::vector<std::string>& texts() const { return texts_; }
  /// In the order of the steps, until the last one.
  const std::vector<Span>& spans() const { return spans_; }

 private:
  std::vector<std::string> texts_;
  std::vector<Span> spans_;
};

/// Reads what A1111's web UI calls prompt editing and alternating words: `[from:to:when]`,
/// `[to:when]`, `[from::when]` change at a step, or behind a part of the steps where `when` has a
/// point; `[a|b]` takes turns. In a second pass, whole numbers count on from the first one and
/// parts are above 1. Weights and escapes are left in the text. Any string has a result; one that
/// isn't of this syntax, like one with a `|` outside of brackets, stays as it is.
/// https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#prompt-editing
/// Throws InvalidRequest when there are more than kMaxTexts different texts.
PromptSchedule schedule_prompt(std::string_view prompt, PassSteps steps);

/// Different texts of one prompt at most: each is encoded.
inline constexpr size_t kMaxTexts = 256;

/// A part of a prompt and its weight among the others.
struct ComposedText {
  std::string text;
  double weight = 1.0;
  bool operator==(const ComposedText&) const = default;
};

/// The parts of a prompt between the words AND; `:1.2` at the end of a part is its weight, also
/// where there is one part only. Throws InvalidRequest when there are more than kMaxParts.
std::vector<ComposedText> split_composition(std::string_view prompt);

/// Parts of a prompt at most: each is a row of every step.
inline constexpr size_t kMaxParts = 16;

}  // namespace sdrbee::text
