// T5's tokenizer: text to token ids, equal to Hugging Face's T5Tokenizer (transformers 5).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/text/unigram_vocabulary.h"

namespace sdrbee::text {

/// One row of exactly as many ids as asked for: tokens, end mark, padding.
struct TokenRow {
  std::vector<int64_t> ids;
  int64_t text_tokens = 0;  // of the whole text, with the end mark
  bool truncated = false;
  std::string truncated_text;  // what was cut off, as its tokens read
};

/// Normalises by the model's table, cuts at white space, and takes the most probable cut of each
/// word into pieces (Kudo 2018, arXiv:1804.10959). Immutable, so any number of threads may use one
/// object. The time is linear in the text.
class UnigramTokenizer final {
 public:
  explicit UnigramTokenizer(UnigramVocabulary vocabulary);

  /// Token ids without end mark, not truncated. Ill-formed UTF-8 counts as U+FFFD.
  std::vector<int64_t> encode(std::string_view utf8) const;

  /// The text of tokens.
  std::string decode(std::span<const int64_t> ids) const;

  /// A row of `length` ids, at least one; tokens beyond it are dropped, the end mark stays (as
  /// `padding="max_length", truncation=True`).
  TokenRow encode_row(std::string_view utf8, int64_t length) const;

  int64_t eos() const { return vocabulary_.eos; }
  int64_t pad() const { return vocabulary_.pad; }
  /// The largest id that `encode` can return.
  int64_t max_id() const { return static_cast<int64_t>(tokens_.size()) - 1; }

 private:
  struct Cut {  // the best way to cut the text up to here
    double score = 0;
    size_t start = 0;  // of its last piece
    int64_t id = -1;   // of its last piece; -1: there is no way yet
  };
  struct Match {
    size_t length;
    int64_t id;
  };

  void encode_words(std::u32string_view normalized, std::vector<int64_t>& ids) const;
  void encode_word(std::string_view utf8, std::vector<int64_t>& ids) const;
  std::vector<Cut> best_cuts(std::string_view utf8) const;
  void find_matches(std::string_view utf8, std::vector<Match>& matches) const;
  void add_piece(std::string_view utf8, std::vector<int64_t>& ids) const;
  int64_t id_of(std::string_view piece) const;

  UnigramVocabulary vocabulary_;
  std::vector<int64_t> sorted_;  // ids of pieces in the order of their bytes, each text once
  std::array<int64_t, 256> byte_ids_{};
  std::vector<std::string> tokens_;  // by id; empty where there is none
  TokenMarks raw_marks_;             // found in the text as it is
  TokenMarks normalized_marks_;      // found in the normalised text
  double unknown_score_ = 0;
};

}  // namespace sdrbee::text
