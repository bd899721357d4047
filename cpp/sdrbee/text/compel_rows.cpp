#include "sdrbee/text/compel_rows.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/core/error.h"

namespace sdrbee::text {
namespace {

constexpr double kSmallestFade = 1e-5;  // compel's: tan is infinite at 0

struct Place {
  size_t row = 0;
  size_t column = 0;
};

/// All from the first token of a piece to its last, but for the ends of rows. Marks between them
/// are hidden, too, as in compel.
std::vector<HiddenTokens> places_of(const TokenRows& tokens, int64_t piece) {
  std::vector<Place> places;
  for (size_t row = 0; row < tokens.pieces.size(); ++row)
    for (size_t column = 0; column < tokens.pieces[row].size(); ++column)
      if (tokens.pieces[row][column] == piece) places.push_back({row, column});
  std::vector<HiddenTokens> hidden;
  if (places.empty()) return hidden;
  const auto [first, last] = std::pair(places.front(), places.back());
  for (size_t row = first.row; row <= last.row; ++row) {
    const size_t begin = row == first.row ? first.column : 1;
    const size_t end = row == last.row ? last.column + 1 : tokens.rows[row].size() - 1;
    hidden.push_back(
        {static_cast<int64_t>(row), static_cast<int64_t>(begin), static_cast<int64_t>(end)});
  }
  return hidden;
}

std::vector<FadedPiece> faded_pieces(const PromptSection& pieces, const TokenRows& tokens) {
  std::vector<FadedPiece> faded;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].weight >= 1.0) continue;
    FadedPiece piece{pieces[i].weight, places_of(tokens, static_cast<int64_t>(i))};
    if (!piece.tokens.empty()) faded.push_back(std::move(piece));
  }
  return faded;
}

/// The rows of a text that a piece is in, without it.
TokenRows rows_without(const TokenRows& all, const FadedPiece& piece) {
  const int64_t first = piece.tokens.front().row;
  const int64_t count = piece.tokens.back().row - first + 1;
  const auto some = [&](const auto& rows) {
    return std::decay_t<decltype(rows)>(rows.begin() + first, rows.begin() + first + count);
  };
  TokenRows result{.rows = some(all.rows), .weights = some(all.weights)};
  for (LearnedToken token : all.learned) {
    token.row -= first;
    if (token.row >= 0 && token.row < count) result.learned.push_back(token);
  }
  for (HiddenTokens hidden : piece.tokens) {
    hidden.row -= first;
    result.hidden.push_back(hidden);
  }
  return result;
}

/// empty + weight * (states - empty), in fp32.
Tensor moved(const Tensor& empty, const Tensor& states, const TokenRows& tokens) {
  return empty + weighted_states(states.to(at::kFloat) - empty, tokens);
}

bool has_weights(const TokenRows& tokens) {
  return std::ranges::any_of(tokens.weights, [](const std::vector<double>& row) {
    return std::ranges::any_of(row, [](double weight) { return weight != 1.0; });
  });
}

/// The states of one text [rows, window, channels]; fp32 where they are weighed.
Tensor states_of(const CompelRows::Part& part, const Tensor& empty, const EncodeRows& encode) {
  const Tensor plain = encode(part.tokens);
  if (!has_weights(part.tokens)) return plain;
  const Tensor base = moved(empty, plain, part.tokens);
  Tensor sum = base;
  double total = 1.0;
  for (const FadedPiece& piece : part.faded) {
    const TokenRows without = rows_without(part.tokens, piece);
    Tensor version = base.clone();
    version.narrow(0, piece.tokens.front().row, std::ssize(without.rows))
        .copy_(moved(empty, encode(without), without));
    const double weight = std::max(piece.weight, kSmallestFade);
    const double share = std::tan((1.0 - weight) * std::numbers::pi / 2);
    sum = sum + version * share;
    total += share;
  }
  return sum / total;
}

Tensor filled_up(const Tensor& states, int64_t count, const Tensor& empty) {
  if (states.size(0) >= count) return states;
  return at::cat({states, empty.to(states.scalar_type()).expand({count - states.size(0), -1, -1})});
}

}  // namespace

size_t CompelRows::count() const {
  size_t sum = 0;
  size_t longest = 0;
  for (const Part& part : parts) {
    sum += part.tokens.rows.size();
    longest = std::max(longest, part.tokens.rows.size());
  }
  return blended ? longest : sum;
}

CompelRows compel_rows(const ClipTokenizer& tokenizer, std::string_view prompt,
                       std::string_view field, const CutRows& cut) {
  const CompelPrompt parsed = parse_compel(prompt, field);
  CompelRows rows{.parts = {}, .blended = parsed.blended, .empty = {}, .written = {}};
  size_t faded = 0;
  for (const auto& [pieces, weight] : parsed.parts) {
    TokenRows tokens = cut(pieces);
    std::vector<FadedPiece> own = faded_pieces(pieces, tokens);
    faded += own.size();
    rows.parts.push_back({std::move(tokens), std::move(own), weight});
  }
  if (faded > kMaxFaded)
    throw InvalidRequest(message("[", field, "] expected at most ", kMaxFaded,
                                 " pieces that weigh less than 1 but got ", faded,
                                 ": each is a run of the text encoder; join some in brackets"));
  pad_rows(rows.empty, 1, tokenizer);
  rows.written = truncate_prompt(tokenizer, prompt);
  return rows;
}

Tensor compel_states(const CompelRows& rows, size_t count, const EncodeRows& encode) {
  const auto wanted = static_cast<int64_t>(count);
  SDRBEE_CHECK(rows.count() <= count);
  const Tensor nothing = encode(rows.empty);
  const Tensor empty = nothing.to(at::kFloat);  // [1, window, channels]
  const auto longest = static_cast<int64_t>(rows.count());
  std::vector<Tensor> parts;
  for (const CompelRows::Part& part : rows.parts) {
    Tensor states = states_of(part, empty, encode);
    if (rows.blended)
      states = filled_up(states, longest, empty).to(at::kFloat) * part.weight;
    else if (part.weight != 1.0)
      states = empty + (states - empty) * part.weight;
    parts.push_back(states.to(rows.blended ? at::kFloat : nothing.scalar_type()));
  }
  Tensor all = parts.front();
  for (size_t i = 1; rows.blended && i < parts.size(); ++i) all = all + parts[i];
  if (!rows.blended) all = at::cat(parts);
  return filled_up(all.to(nothing.scalar_type()), wanted, nothing);
}

}  // namespace sdrbee::text
