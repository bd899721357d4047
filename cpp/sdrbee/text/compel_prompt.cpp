#include "sdrbee/text/compel_prompt.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/text/prompt_schedule.h"
#include "sdrbee/text/prompt_words.h"

namespace sdrbee::text {
namespace {

// https://github.com/damian0815/compel/blob/main/src/compel/prompt_parser.py
constexpr double kPlus = 1.1;
constexpr double kMinus = 0.9;
constexpr std::string_view kSyntax = "()\",.+-=";
constexpr int kMaxDepth = 100;
constexpr std::string_view kUnnormalized = "no_normalize";

bool is_space(char character) { return kSpaces.find(character) != std::string_view::npos; }

/// A text, or what a bracket holds with the weight behind it.
struct Node {
  std::string text = {};
  double weight = 1.0;
  std::shared_ptr<const std::vector<Node>> inside = nullptr;
};
using Nodes = std::vector<Node>;

/// Something that was read, and where it ends.
template <typename Value>
struct Read {
  Value value;
  size_t end;
};

/// compel's grammar, which tries its rules in their order at each place. Brackets that were tried
/// are remembered, so no place is read twice.
class Grammar {
 public:
  Grammar(std::string_view text, std::string_view field) : text_(text), field_(field) {}

  /// Anything, from `at` on.
  Nodes prompt(size_t at) {
    Nodes nodes;
    for (at = skip_spaces(at); at < text_.size(); at = skip_spaces(at)) {
      if (auto read = element(at, /*words=*/false)) {
        nodes.push_back(std::move(read->value));
        at = read->end;
        continue;
      }
      const size_t end = std::min(text_.find_first_of(kSpaces, at), text_.size());
      nodes.push_back({unescaped(text_.substr(at, end - at))});
      at = end;
    }
    return nodes;
  }

  /// `("a", (b), c)` and where it ends; nothing where it isn't one.
  std::optional<Read<std::vector<Nodes>>> texts() {
    std::vector<Nodes> all;
    size_t at = skip_spaces(0);
    do {
      if (at >= text_.size()) return std::nullopt;
      auto text = quoted_prompt_or_target(skip_spaces(at + 1));
      if (!text) return std::nullopt;
      all.push_back({std::move(text->value)});
      at = skip_spaces(text->end);
    } while (has(at, ","));
    if (!has(at, ")")) return std::nullopt;
    return Read<std::vector<Nodes>>{std::move(all), at + 1};
  }

  size_t skip_spaces(size_t at) const {
    return std::min(text_.find_first_not_of(kSpaces, at), text_.size());
  }

  bool has(size_t at, std::string_view mark) const {
    return at <= text_.size() && text_.substr(at).starts_with(mark);
  }

 private:
  using ReadNode = std::optional<Read<Node>>;

  /// What may stand in brackets, or beside them where it isn't a bare word.
  ReadNode element(size_t at, bool words) {
    refuse_lora(at);
    ReadNode read = target(at);
    if (!read) return std::nullopt;
    const bool word = !read->value.inside;
    const size_t behind = skip_spaces(read->end);
    if (operator_at(behind, ".swap"))
      throw InvalidRequest(message(
          "[", field_, "] .swap() isn't supported: it changes the attention of the network; leave ",
          "it out, or write \\.swap for the text"));
    auto weight = attended(behind);
    if (!weight) weight = weight_behind(read->end, /*signs_only=*/word);
    if (!weight) return word && !words ? std::nullopt : std::move(read);
    if (word) read->value.inside = std::make_shared<Nodes>(Nodes{{read->value.text}});
    return {{Node{{}, weight->value, read->value.inside}, weight->end}};
  }

  /// A bracket, a quotation or a word.
  ReadNode target(size_t at) {
    at = skip_spaces(at);
    if (has(at, "(")) return bracket(at);
    if (has(at, "\"")) return quotation(at, /*anything=*/false);
    return word(at);
  }

  ReadNode quoted_prompt_or_target(size_t at) {
    ReadNode read = target(at);
    return !read && has(at, "\"") ? quotation(at, /*anything=*/true) : read;
  }

  ReadNode bracket(size_t at) {
    if (const auto found = brackets_.find(at); found != brackets_.end()) return found->second;
    ReadNode read;
    if (depth_ < kMaxDepth) {
      ++depth_;
      read = inside_of_bracket(at + 1);
      --depth_;
    }
    brackets_.emplace(at, read);
    return read;
  }

  ReadNode inside_of_bracket(size_t at) {
    Nodes nodes;
    at = elements(at, nodes);
    if (!has(at, ")")) return std::nullopt;
    return {{Node{.inside = std::make_shared<Nodes>(std::move(nodes))}, at + 1}};
  }

  /// Reads as far as brackets may go on; the place where they don't.
  size_t elements(size_t at, Nodes& nodes) {
    for (at = skip_spaces(at); at < text_.size(); at = skip_spaces(at)) {
      if (has(at, ",") || has(at, ".")) {
        nodes.push_back({std::string(text_.substr(at, 1))});
        ++at;
        continue;
      }
      auto read = element(at, /*words=*/true);
      if (!read) break;
      nodes.push_back(std::move(read->value));
      at = read->end;
    }
    return at;
  }

  ReadNode quotation(size_t at, bool anything) const {
    size_t end = at + 1;
    while (end < text_.size() && text_[end] != '"' && text_[end] != '\n' && text_[end] != '\r')
      end += has(end, "\\\"") ? 2 : 1;
    if (!has(end, "\"")) return std::nullopt;
    const std::string_view content = trimmed(text_.substr(at + 1, end - at - 1));
    Grammar grammar(content, field_);
    Nodes nodes;
    if (content.empty())
      nodes = {{""}};
    else if (anything)
      nodes = grammar.prompt(0);
    else if (grammar.elements(0, nodes) != content.size())
      return std::nullopt;
    return {{Node{.inside = std::make_shared<Nodes>(std::move(nodes))}, end + 1}};
  }

  ReadNode word(size_t at) const {
    size_t end = at;
    while (end < text_.size()) {
      const size_t length = word_character(end);
      if (length == 0) break;
      end += length;
    }
    if (end == at) return std::nullopt;
    return {{Node{unescaped(text_.substr(at, end - at))}, end}};
  }

  /// How much of a word is at `at`: 0 where it has ended.
  size_t word_character(size_t at) const {
    const auto is_mark = [this](size_t place) {
      return kSyntax.find(text_[place]) != std::string_view::npos;
    };
    const size_t next = at + 1;
    if (text_[at] == '\\' && next < text_.size() && is_mark(next)) return 2;
    if (is_space(text_[at])) return 0;
    if (!is_mark(at)) return 1;
    const bool sign = text_[at] == '+' || text_[at] == '-';  // inside of a word: `well-known`
    return sign && next < text_.size() && !is_space(text_[next]) && !is_mark(next) ? 1 : 0;
  }

  std::optional<Read<double>> weight_behind(size_t at, bool signs_only) const {
    if (at >= text_.size()) return std::nullopt;
    for (const auto& [sign, base] : {std::pair('+', kPlus), std::pair('-', kMinus)}) {
      if (text_[at] != sign) continue;
      const size_t end = std::min(text_.find_first_not_of(sign, at), text_.size());
      return {{bounded_weight(std::pow(base, static_cast<double>(end - at))), end}};
    }
    return signs_only ? std::nullopt : number(at);
  }

  /// `1`, `1.3`, `1.` or `.3`
  std::optional<Read<double>> number(size_t at) const {
    const size_t whole = end_of_digits(at);
    const size_t part = has(whole, ".") ? end_of_digits(whole + 1) : whole;
    const bool has_part = whole > at || part > whole + 1;
    const size_t end = has_part ? part : whole;
    const std::optional<double> value = decimal_number(text_.substr(at, end - at));
    if (!value) return std::nullopt;
    return {{bounded_weight(*value), end}};
  }

  size_t end_of_digits(size_t at) const {
    while (at < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at])) != 0) ++at;
    return at;
  }

  /// `.attend(1.3)`
  std::optional<Read<double>> attended(size_t at) const {
    const auto open = operator_at(at, ".attend");
    if (!open) return std::nullopt;
    const auto weight = weight_behind(skip_spaces(*open), /*signs_only=*/false);
    if (!weight || !has(skip_spaces(weight->end), ")")) return std::nullopt;
    return {{weight->value, skip_spaces(weight->end) + 1}};
  }

  /// The place behind `name (`.
  std::optional<size_t> operator_at(size_t at, std::string_view name) const {
    if (!has(at, name)) return std::nullopt;
    const size_t open = skip_spaces(at + name.size());
    return has(open, "(") ? std::optional(open + 1) : std::nullopt;
  }

  void refuse_lora(size_t at) const {
    for (const std::string_view name : {"withLora", "useLora"})
      if (operator_at(skip_spaces(at), name))
        throw InvalidRequest(message("[", field_, "] ", name, "() isn't supported in a prompt; ",
                                     "name LoRAs in the field loras"));
  }

  static std::string unescaped(std::string_view text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool escapes = text[i] == '\\' && i + 1 < text.size() &&
                           kSyntax.find(text[i + 1]) != std::string_view::npos;
      plain += text[escapes ? ++i : i];
    }
    return plain;
  }

  std::string_view text_;
  std::string_view field_;
  int depth_ = 0;
  std::map<size_t, ReadNode> brackets_ = {};
};

void flatten(const Nodes& nodes, double weight, PromptSection& pieces) {
  for (const Node& node : nodes) {
    const double total = bounded_weight(weight * node.weight);
    if (node.inside)
      flatten(*node.inside, total, pieces);
    else if (!pieces.empty() && pieces.back().weight == total)
      pieces.back().text += ' ' + node.text;
    else
      pieces.push_back({node.text, total});
  }
}

PromptSection flattened(const Nodes& nodes) {
  PromptSection pieces;
  flatten(nodes, 1.0, pieces);
  return pieces;
}

/// compel begins with this: `cat,dog` are two words.
std::string with_spaces_behind_commas(std::string_view prompt) {
  std::string spaced;
  for (size_t i = 0; i < prompt.size(); ++i) {
    spaced += prompt[i];
    if (prompt[i] != ',' || i + 1 == prompt.size() || is_space(prompt[i + 1])) continue;
    spaced += ' ';
    spaced += prompt[++i];  // a comma behind a comma isn't looked at, as there
  }
  return spaced;
}

/// The operators on several texts.
enum class Joining { None, Following, Blended };

struct Operator {
  Joining joining = Joining::None;
  std::string_view name = {};
  std::string_view arguments = {};
  std::string_view behind = {};
};

/// The operator at the start of `text`, if it is one.
Operator find_operator(std::string_view text) {
  constexpr std::pair<std::string_view, Joining> kOperators[] = {
      {".and", Joining::Following}, {".add", Joining::Following}, {".blend", Joining::Blended}};
  text = without_spaces_at_start(text);
  for (const auto& [name, joining] : kOperators) {
    if (!text.starts_with(name)) continue;
    const std::string_view rest = without_spaces_at_start(text.substr(name.size()));
    const size_t close = rest.find(')');
    if (!rest.starts_with('(') || close == std::string_view::npos) break;
    return {joining, name, rest.substr(1, close - 1), trimmed(rest.substr(close + 1))};
  }
  return {};
}

/// Reads the numbers of an operator and gives them to the parts.
class Weigher {
 public:
  Weigher(const Operator& found, std::string_view field) : operator_(found), field_(field) {}

  void weigh(std::vector<CompelPrompt::Part>& parts) const {
    std::vector<std::string_view> words = arguments();
    const bool blended = operator_.joining == Joining::Blended;
    const bool as_given = blended && !words.empty() && words.back() == kUnnormalized;
    if (as_given) words.pop_back();
    if (!words.empty() && words.size() != parts.size())
      refuse(message("expected as many weights as texts, ", parts.size(), ", but got "),
             message(words.size()));
    for (size_t i = 0; i < words.size(); ++i) parts[i].weight = number(words[i]);
    if (blended && !as_given) normalize(parts);
  }

  [[noreturn]] void refuse(const std::string& expected, std::string_view got) const {
    throw InvalidRequest(message("[", field_, "] ", operator_.name, "(): ", expected, got));
  }

 private:
  std::vector<std::string_view> arguments() const {
    std::vector<std::string_view> words;
    std::string_view rest = trimmed(operator_.arguments);
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      words.push_back(trimmed(rest.substr(0, comma)));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return words;
  }

  double number(std::string_view word) const {
    const std::optional<double> value = decimal_number(word);
    if (!value) refuse("expected a number but got ", message("'", word, "'"));
    return bounded_weight(*value);
  }

  void normalize(std::vector<CompelPrompt::Part>& parts) const {
    double sum = 0;
    for (const CompelPrompt::Part& part : parts) sum += part.weight;
    if (std::abs(sum) < 1e-6)
      refuse("weights must not sum up to 0 unless no_normalize stands behind them", "");
    for (CompelPrompt::Part& part : parts) part.weight = bounded_weight(part.weight / sum);
  }

  Operator operator_;
  std::string_view field_;
};

CompelPrompt joined(const std::vector<Nodes>& texts, const Operator& found,
                    std::string_view field) {
  const Weigher weigher(found, field);
  if (!found.behind.empty())
    weigher.refuse("nothing may follow, but there is ", message("'", found.behind, "'"));
  if (texts.size() > kMaxParts)
    weigher.refuse(message("expected at most ", kMaxParts, " texts but got "),
                   message(texts.size()));
  CompelPrompt prompt{.parts = {}, .blended = found.joining == Joining::Blended};
  for (const Nodes& text : texts) prompt.parts.push_back({flattened(text)});
  weigher.weigh(prompt.parts);
  if (!prompt.blended)
    std::erase_if(prompt.parts, [](const auto& part) { return part.pieces.empty(); });
  if (prompt.parts.empty()) prompt.parts.emplace_back();
  return prompt;
}

}  // namespace

CompelPrompt parse_compel(std::string_view prompt, std::string_view field) {
  const std::string spaced = with_spaces_behind_commas(prompt);
  Grammar grammar(spaced, field);
  if (grammar.has(grammar.skip_spaces(0), "("))
    if (const auto texts = grammar.texts())
      if (const Operator found = find_operator(std::string_view(spaced).substr(texts->end));
          found.joining != Joining::None)
        return joined(texts->value, found, field);
  return {.parts = {{flattened(grammar.prompt(0))}}};
}

}  // namespace sdrbee::text
