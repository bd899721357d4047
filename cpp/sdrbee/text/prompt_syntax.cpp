#include "sdrbee/text/prompt_syntax.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/text/prompt_words.h"

namespace sdrbee::text {
namespace {

constexpr std::pair<std::string_view, PromptSyntax> kSyntaxes[] = {
    {"plain", PromptSyntax::Plain},
    {"a1111", PromptSyntax::A1111},
    {"compel", PromptSyntax::Compel},
};

// https://github.com/AUTOMATIC1111/stable-diffusion-webui/blob/master/modules/prompt_parser.py
constexpr double kRoundFactor = 1.1;
constexpr double kSquareFactor = 1 / 1.1;
constexpr std::string_view kBreak = "BREAK";
constexpr std::string_view kMarks = "\\()[]:";
constexpr std::string_view kEscapable = "\\()[]";
// Factors of the same brackets are multiplied in one order here and may be in another there.
constexpr double kSameWeight = 1e-9;

/// Brackets of one kind. They nest among themselves only: `([a)b]` has two ranges that overlap.
class Brackets {
 public:
  explicit Brackets(double usual) : usual_(usual) {}

  void open() {
    brackets_.push_back({usual_, innermost_});
    innermost_ = brackets_.size() - 1;
  }
  void close(double factor) {
    brackets_[innermost_].factor = factor;
    innermost_ = brackets_[innermost_].outer;
  }
  void close() { innermost_ = brackets_[innermost_].outer; }
  bool any_open() const { return innermost_ != 0; }
  size_t innermost() const { return innermost_; }

  /// What each bracket multiplies, with those around it.
  std::vector<double> totals() const {
    std::vector<double> all;
    for (const Bracket& bracket : brackets_)
      all.push_back(all.empty() ? 1.0 : bounded_weight(all[bracket.outer] * bracket.factor));
    return all;
  }

 private:
  struct Bracket {
    double factor;
    size_t outer;
  };
  double usual_;
  std::vector<Bracket> brackets_{{1.0, 0}};  // the first one is the prompt
  size_t innermost_ = 0;
};

struct Piece {
  std::string text;
  size_t round;
  size_t square;
  bool begins_section = false;
};

/// One pass over a prompt in A1111's syntax.
class EmphasisParser {
 public:
  explicit EmphasisParser(std::string_view prompt) : rest_(prompt) {
    while (!rest_.empty()) take_next();
  }

  std::vector<PromptSection> sections() const {
    const std::vector<double> round = round_.totals();
    const std::vector<double> square = square_.totals();
    std::vector<PromptSection> all(1);
    for (const Piece& piece : pieces_) {
      if (piece.begins_section) all.emplace_back();
      add(all.back(), piece.text, bounded_weight(round[piece.round] * square[piece.square]));
    }
    return all;
  }

 private:
  void take_next() {
    const char first = rest_.front();
    if (first == '\\') return take_backslash();
    if (first == '(') return take_bracket([&] { round_.open(); });
    if (first == '[') return take_bracket([&] { square_.open(); });
    if (first == ')' && round_.any_open()) return take_bracket([&] { round_.close(); });
    if (first == ']' && square_.any_open()) return take_bracket([&] { square_.close(); });
    if (first == ':' && round_.any_open() && take_weight()) return;
    take_text();
  }

  template <typename Act>
  void take_bracket(const Act& act) {
    rest_.remove_prefix(1);
    act();
  }

  void take_backslash() {
    const bool escapes = rest_.size() > 1 && kEscapable.find(rest_[1]) != std::string_view::npos;
    if (escapes) add_piece(rest_.substr(1, 1));
    rest_.remove_prefix(escapes ? 2 : 1);
  }

  /// `:1.3)`
  bool take_weight() {
    const size_t end = rest_.find_first_of(kMarks, 1);
    if (end == std::string_view::npos || rest_[end] != ')') return false;
    const std::optional<double> weight = decimal_number(rest_.substr(1, end - 1));
    if (!weight) return false;
    round_.close(*weight);
    rest_.remove_prefix(end + 1);
    return true;
  }

  void take_text() {
    const size_t end = std::min(rest_.find_first_of(kMarks, 1), rest_.size());
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end);
    const std::vector<std::string_view> parts = split_at_word(text, kBreak);
    for (size_t i = 0; i < parts.size(); ++i) {
      const bool last = i + 1 == parts.size();
      const std::string_view part = i == 0 ? parts[i] : without_spaces_at_start(parts[i]);
      add_piece(last ? part : without_spaces_at_end(part), /*begins_section=*/i > 0);
    }
  }

  void add_piece(std::string_view text, bool begins_section = false) {
    pieces_.push_back({std::string(text), round_.innermost(), square_.innermost(), begins_section});
  }

  static void add(PromptSection& section, const std::string& text, double weight) {
    if (text.empty()) return;
    if (!section.empty() && std::abs(section.back().weight - weight) < kSameWeight)
      section.back().text += text;
    else
      section.push_back({text, weight});
  }

  std::string_view rest_;
  Brackets round_{kRoundFactor};
  Brackets square_{kSquareFactor};
  std::vector<Piece> pieces_;
};

}  // namespace

std::optional<PromptSyntax> find_prompt_syntax(std::string_view name) {
  for (const auto& [known, syntax] : kSyntaxes)
    if (known == name) return syntax;
  return std::nullopt;
}

std::vector<std::string> prompt_syntaxes() {
  std::vector<std::string> names;
  for (const auto& [name, syntax] : kSyntaxes) names.emplace_back(name);
  return names;
}

std::string prompt_syntax_names() {
  std::string names;
  for (const auto& [name, syntax] : kSyntaxes)
    names += (names.empty() ? "'" : ", '") + std::string(name) + "'";
  return names;
}

std::vector<PromptSection> parse_prompt(std::string_view prompt, PromptSyntax syntax) {
  SDRBEE_CHECK(syntax != PromptSyntax::Compel);
  if (syntax == PromptSyntax::Plain) return {{{std::string(prompt), 1.0}}};
  return EmphasisParser(prompt).sections();
}

std::string unmarked(const std::vector<PromptSection>& sections) {
  std::string all;
  for (const PromptSection& section : sections) {
    if (!all.empty()) all += ' ';
    for (const WeightedText& piece : section) all += piece.text;
  }
  return all;
}

}  // namespace sdrbee::text
