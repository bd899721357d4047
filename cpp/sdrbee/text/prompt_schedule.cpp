#include "sdrbee/text/prompt_schedule.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"
#include "sdrbee/text/prompt_words.h"

namespace sdrbee::text {
namespace {

constexpr std::string_view kBrackets = "[]():|";

/// A bracket whose text depends on the step: its parts are those between its events.
struct Choice {
  std::vector<size_t> begins;       // the event before each part
  size_t end = 0;                   // the event behind the last part
  std::optional<double> when = {};  // nothing: the parts take turns
  bool share = false;               // `when` is a part of the steps
};

/// A stretch of the prompt, or a bracket or separator of a Choice.
struct Event {
  std::string_view text;
  size_t choice = 0;  // 0: the text itself
  bool begins = false;
};

/// The prompt as a flat list of events, so that neither its depth nor its length matters.
class ScheduleParser {
 public:
  explicit ScheduleParser(std::string_view prompt) : rest_(prompt) {
    while (readable_ && !rest_.empty()) take_next();
    dissolve();
  }

  /// Whether A1111's grammar has a meaning for the prompt.
  bool readable() const { return readable_; }
  const std::vector<Choice>& choices() const { return choices_; }

  std::string text_at(int64_t step, const std::vector<int64_t>& when) const {
    std::string text;
    for (size_t i = 0; i < events_.size(); ++i) {
      const Event& event = events_[i];
      if (event.choice == 0) {
        text += event.text;
        continue;
      }
      const Choice& choice = choices_[event.choice];
      // A separator ends the part that was chosen.
      i = event.begins ? choice.begins[part_at(choice, step, when[event.choice])] : choice.end;
    }
    return text;
  }

 private:
  struct Frame {
    char bracket;
    std::vector<size_t> begins;  // of its parts
    std::string separators;
  };

  static size_t part_at(const Choice& choice, int64_t step, int64_t when) {
    if (!choice.when) return static_cast<size_t>(step - 1) % choice.begins.size();
    // The last part is the number; with one part before it there is nothing to begin with.
    return step <= when ? 0 : 1;
  }

  void take_next() {
    const char first = rest_.front();
    if (kBrackets.find(first) == std::string_view::npos) return take_text();
    push(1);
    if (first == '(' || first == '[')
      frames_.push_back({first, {events_.size() - 1}, {}});
    else if (first == ')' || first == ']')
      close(first == ')' ? '(' : '[');
    else
      separate(first);
  }

  void take_text() {
    size_t end = 0;
    while (end < rest_.size() && kBrackets.find(rest_[end]) == std::string_view::npos) {
      const bool escapes = rest_[end] == '\\';
      if (escapes && (end + 1 == rest_.size() || rest_[end + 1] == '\n')) {
        readable_ = false;
        return;
      }
      end += escapes ? 2 : 1;
    }
    push(end);
  }

  void push(size_t length) {
    events_.push_back({rest_.substr(0, length)});
    rest_.remove_prefix(length);
  }

  void separate(char separator) {
    if (frames_.empty()) {
      readable_ = readable_ && separator != '|';
      return;
    }
    frames_.back().begins.push_back(events_.size() - 1);
    frames_.back().separators += separator;
  }

  void close(char bracket) {
    if (frames_.empty() || frames_.back().bracket != bracket || !reduce(frames_.back()))
      return dissolve();
    frames_.pop_back();
  }

  /// What isn't closed in time is text, with all brackets around it.
  void dissolve() {
    for (const Frame& frame : frames_)
      if (frame.separators.find('|') != std::string::npos) readable_ = false;
    frames_.clear();
  }

  /// Whether the bracket that was closed just now means something.
  bool reduce(const Frame& frame) {
    const std::string& separators = frame.separators;
    if (separators.empty()) return true;
    if (frame.bracket == '(') return separators == ":";
    if (separators.find(':') == std::string::npos) {
      choose(frame, {.begins = frame.begins});
      return true;
    }
    if (separators != ":" && separators != "::") return false;
    // The number is one event between the last separator and the bracket.
    if (frame.begins.back() + 3 != events_.size()) return false;
    const std::string_view number = trimmed(events_[frame.begins.back() + 1].text);
    const std::optional<double> when = signed_number(number);
    if (!when) return false;
    Choice choice{
        .begins = frame.begins, .when = when, .share = number.find('.') != std::string_view::npos};
    // `[to:when]` has nothing before: an empty part, which is at the end of the bracket.
    choice.begins.pop_back();
    if (separators == ":") choice.begins.insert(choice.begins.begin(), events_.size() - 1);
    choose(frame, std::move(choice));
    return true;
  }

  void choose(const Frame& frame, Choice choice) {
    choice.end = events_.size() - 1;
    for (const size_t event : frame.begins) events_[event].choice = choices_.size();
    events_[choice.end].choice = choices_.size();
    events_[frame.begins.front()].begins = true;
    choices_.push_back(std::move(choice));
  }

  std::string_view rest_;
  bool readable_ = true;
  std::vector<Event> events_;
  std::vector<Choice> choices_{Choice{}};  // the first one stands for text
  std::vector<Frame> frames_;
};

/// The last step before the change.
int64_t step_of(const Choice& choice, PassSteps steps) {
  const double passed = static_cast<double>(steps.earlier);
  const double count = static_cast<double>(steps.count);
  const double when = choice.share ? (*choice.when - (steps.second ? 1.0 : 0.0)) * count
                                   : *choice.when - (steps.second ? passed : 0.0);
  return static_cast<int64_t>(std::clamp(when, -1.0, count));
}

}  // namespace

PromptSchedule::PromptSchedule(std::string text)
    : texts_{std::move(text)}, spans_{{std::numeric_limits<int64_t>::max(), 0}} {}

PromptSchedule::PromptSchedule(std::vector<std::string> texts, std::vector<Span> spans)
    : texts_(std::move(texts)), spans_(std::move(spans)) {
  SDRBEE_CHECK(!texts_.empty() && !spans_.empty());
}

const std::string& PromptSchedule::at(int64_t steps_taken) const {
  const auto found = std::ranges::find_if(
      spans_, [steps_taken](const Span& span) { return steps_taken <= span.until; });
  return texts_[found == spans_.end() ? spans_.back().text : found->text];
}

PromptSchedule schedule_prompt(std::string_view prompt, PassSteps steps) {
  const ScheduleParser parser(prompt);
  if (!parser.readable()) return PromptSchedule(std::string(prompt));
  std::set<int64_t> ends{steps.count};
  std::vector<int64_t> when;
  for (const Choice& choice : parser.choices()) {
    when.push_back(choice.when ? step_of(choice, steps) : 0);
    if (when.back() >= 1) ends.insert(when.back());
    if (!choice.when && !choice.begins.empty())
      for (int64_t step = 1; step <= steps.count; ++step) ends.insert(step);
  }
  std::vector<std::string> texts;
  std::vector<PromptSchedule::Span> spans;
  std::map<std::string, size_t> known;
  for (const int64_t end : ends) {
    std::string text = parser.text_at(end, when);
    const auto [found, is_new] = known.emplace(text, texts.size());
    if (is_new) texts.push_back(std::move(text));
    if (texts.size() > kMaxTexts)
      throw InvalidRequest(message("[prompt] expected at most ", kMaxTexts,
                                   " different texts in the course of the steps but got more; ",
                                   "alternate between fewer words"));
    if (!spans.empty() && spans.back().text == found->second)
      spans.back().until = end;
    else
      spans.push_back({end, found->second});
  }
  return PromptSchedule(std::move(texts), std::move(spans));
}

std::vector<ComposedText> split_composition(std::string_view prompt) {
  std::vector<ComposedText> parts;
  for (const std::string_view part : split_at_word(prompt, "AND")) {
    if (parts.size() == kMaxParts)
      throw InvalidRequest(
          message("[prompt] expected at most ", kMaxParts, " parts with AND between them"));
    const size_t colon = part.rfind(':');
    const std::optional<double> weight =
        colon == std::string_view::npos ? std::nullopt : decimal_number(part.substr(colon + 1));
    const std::string_view text = weight ? part.substr(0, colon) : part;
    parts.push_back(
        {std::string(without_spaces_at_end(text)), bounded_weight(weight.value_or(1.0))});
  }
  return parts;
}

}  // namespace sdrbee::text
