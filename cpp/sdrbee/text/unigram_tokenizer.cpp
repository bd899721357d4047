#include "sdrbee/text/unigram_tokenizer.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

#include "sdrbee/core/check.h"
#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

constexpr char32_t kWordStart = 0x2581;
constexpr std::string_view kWordStartUtf8 = "\u2581";
// How much less probable than the rarest piece an unknown character is.
// https://github.com/google/sentencepiece/blob/master/src/unigram_model.cc
constexpr double kUnknownPenalty = 10.0;

size_t character_bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace

UnigramTokenizer::UnigramTokenizer(UnigramVocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)) {
  const auto& pieces = vocabulary_.pieces;
  double lowest = std::numeric_limits<double>::infinity();
  for (size_t id = 0; id < pieces.size(); ++id) {
    sorted_.push_back(static_cast<int64_t>(id));
    tokens_.push_back(pieces[id].first);
    lowest = std::min(lowest, pieces[id].second);
  }
  unknown_score_ = lowest - kUnknownPenalty;
  const auto text = [&](int64_t id) -> const std::string& {
    return pieces[static_cast<size_t>(id)].first;
  };
  // Of pieces with one text the last comes first and stays.
  std::sort(sorted_.begin(), sorted_.end(), [&](int64_t a, int64_t b) {
    const int order = text(a).compare(text(b));
    return order != 0 ? order < 0 : a > b;
  });
  const auto same = [&](int64_t a, int64_t b) { return text(a) == text(b); };
  sorted_.erase(std::unique(sorted_.begin(), sorted_.end(), same), sorted_.end());
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
    byte_ids_[byte] = vocabulary_.byte_fallback ? id_of(name) : -1;
  }
  for (const AddedToken& added : vocabulary_.added_tokens) {
    const auto id = static_cast<size_t>(added.id);
    if (id >= tokens_.size()) tokens_.resize(id + 1);
    tokens_[id] = added.content;
  }
  const auto normalize = [&](std::u32string_view raw) {
    return vocabulary_.charsmap.normalize(raw);
  };
  raw_marks_ = TokenMarks(vocabulary_.added_tokens, /*normalized=*/false, normalize);
  normalized_marks_ = TokenMarks(vocabulary_.added_tokens, /*normalized=*/true, normalize);
}

std::vector<int64_t> UnigramTokenizer::encode(std::string_view utf8) const {
  std::vector<int64_t> ids;
  const auto add_mark = [&ids](int64_t id) { ids.push_back(id); };
  const auto add_words = [&](std::u32string_view text) { encode_words(text, ids); };
  const auto add_raw = [&](std::u32string_view raw) {
    normalized_marks_.cut(vocabulary_.charsmap.normalize(raw), add_words, add_mark);
  };
  raw_marks_.cut(decode_utf8(utf8), add_raw, add_mark);
  return ids;
}

void UnigramTokenizer::encode_words(std::u32string_view normalized,
                                    std::vector<int64_t>& ids) const {
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) encode_word(word, ids);
    word.clear();
  };
  for (const char32_t character : normalized) {
    const bool space = character_class(character) == CharacterClass::Space;
    // A start mark that the text itself has begins a word, too.
    if (space || character == kWordStart) finish();
    if (space) continue;
    if (word.empty() && character != kWordStart) word = kWordStartUtf8;
    append_utf8(word, character);
  }
  finish();
}

void UnigramTokenizer::encode_word(std::string_view utf8, std::vector<int64_t>& ids) const {
  const std::vector<Cut> cuts = best_cuts(utf8);
  std::vector<std::string_view> pieces;  // the last one first
  bool joins = false;                    // unknown characters side by side are one piece
  for (size_t end = utf8.size(); end > 0; end = cuts[end].start) {
    const Cut& cut = cuts[end];
    const bool unknown = cut.id == vocabulary_.unknown;
    std::string_view piece = utf8.substr(cut.start, end - cut.start);
    if (unknown && joins) {
      piece = utf8.substr(cut.start, piece.size() + pieces.back().size());
      pieces.pop_back();
    }
    pieces.push_back(piece);
    joins = unknown;
  }
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) add_piece(*piece, ids);
}

/// Viterbi's algorithm over all cuts into pieces: entry i is of the first i bytes.
std::vector<UnigramTokenizer::Cut> UnigramTokenizer::best_cuts(std::string_view utf8) const {
  std::vector<Cut> cuts(utf8.size() + 1);
  std::vector<Match> matches;
  for (size_t start = 0, length = 0; start < utf8.size(); start += length) {
    length = character_bytes(utf8[start]);
    const double until_here = cuts[start].score;
    const auto offer = [&](size_t end, int64_t id, double score) {
      Cut& cut = cuts[end];
      if (cut.id < 0 || until_here + score > cut.score) cut = {until_here + score, start, id};
    };
    bool single = false;
    find_matches(utf8.substr(start), matches);
    for (const Match& match : matches) {
      offer(start + match.length, match.id,
            vocabulary_.pieces[static_cast<size_t>(match.id)].second);
      single |= match.length == length;
    }
    if (!single) offer(start + length, vocabulary_.unknown, unknown_score_);
  }
  return cuts;
}

/// The pieces that `utf8` begins with, shortest first.
void UnigramTokenizer::find_matches(std::string_view utf8, std::vector<Match>& matches) const {
  matches.clear();
  auto first = sorted_.begin();
  auto last = sorted_.end();
  const auto text = [&](int64_t id) -> std::string_view {
    return vocabulary_.pieces[static_cast<size_t>(id)].first;
  };
  for (size_t depth = 0; depth < utf8.size(); ++depth) {
    const auto byte = static_cast<unsigned char>(utf8[depth]);
    const auto at_depth = [&](int64_t id) {
      return text(id).size() <= depth
                 ? -1
                 : static_cast<int>(static_cast<unsigned char>(text(id)[depth]));
    };
    first = std::partition_point(first, last, [&](int64_t id) { return at_depth(id) < byte; });
    last = std::partition_point(first, last, [&](int64_t id) { return at_depth(id) == byte; });
    if (first == last) return;
    if (text(*first).size() == depth + 1) matches.push_back({depth + 1, *first});
  }
}

int64_t UnigramTokenizer::id_of(std::string_view piece) const {
  const auto text = [&](int64_t id) -> std::string_view {
    return vocabulary_.pieces[static_cast<size_t>(id)].first;
  };
  const auto found = std::partition_point(sorted_.begin(), sorted_.end(),
                                          [&](int64_t id) { return text(id) < piece; });
  return found != sorted_.end() && text(*found) == piece ? *found : -1;
}

void UnigramTokenizer::add_piece(std::string_view utf8, std::vector<int64_t>& ids) const {
  const int64_t id = id_of(utf8);
  if (id >= 0) {
    ids.push_back(id);
    return;
  }
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  const bool spelled =
      std::all_of(utf8.begin(), utf8.end(), [&](char byte) { return byte_id(byte) >= 0; });
  if (!spelled) {
    ids.push_back(vocabulary_.unknown);
    return;
  }
  for (const char byte : utf8) ids.push_back(byte_id(byte));
}

std::string UnigramTokenizer::decode(std::span<const int64_t> ids) const {
  std::string text;
  for (const int64_t id : ids) {
    if (id < 0 || id > max_id()) continue;
    std::string token = tokens_[static_cast<size_t>(id)];
    for (size_t at = 0; (at = token.find(kWordStartUtf8, at)) != token.npos;)
      token.replace(at, kWordStartUtf8.size(), " ");
    text += token;
  }
  return text.starts_with(' ') ? text.substr(1) : text;
}

TokenRow UnigramTokenizer::encode_row(std::string_view utf8, int64_t length) const {
  SDRBEE_CHECK(length >= 1);
  const auto kept = static_cast<size_t>(length - 1);
  TokenRow row{.ids = encode(utf8), .truncated_text = {}};
  row.text_tokens = std::ssize(row.ids) + 1;
  row.truncated = row.ids.size() > kept;
  if (row.truncated) {
    row.truncated_text = decode(std::span(row.ids).subspan(kept));
    row.ids.resize(kept);
  }
  row.ids.push_back(vocabulary_.eos);
  row.ids.resize(static_cast<size_t>(length), vocabulary_.pad);
  return row;
}

}  // namespace sdrbee::text
