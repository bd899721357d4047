// CLIP's tokenizer: text to token ids, equal to Hugging Face's CLIPTokenizer (transformers 5).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/text/byte_pairs.h"
#include "sdrbee/text/clip_vocabulary.h"

namespace sdrbee::text {

/// Normalises (NFC, white space, lower case), cuts into words, and merges bytes into tokens
/// (byte-level byte-pair encoding, Sennrich et al. 2016, arXiv:1508.07909).
/// Immutable, so any number of threads may use one object. The time is O(n log n) in the text.
class ClipTokenizer final {
 public:
  /// Throws CheckpointError when a merge rule names a token that the vocabulary lacks.
  explicit ClipTokenizer(const ClipVocabulary& vocabulary);

  /// Token ids without start and end marks, not truncated. Ill-formed UTF-8 counts as U+FFFD.
  std::vector<int64_t> encode(std::string_view utf8) const;

  /// The text of tokens: lower case, words parted by one space.
  std::string decode(std::span<const int64_t> ids) const;

  int64_t bos() const { return bos_; }
  int64_t eos() const { return eos_; }
  int64_t pad() const { return pad_; }
  /// The id of a punctuation mark that ends a word, or -1 when the vocabulary has none.
  int64_t mark(char character) const {
    return word_end_ids_[static_cast<unsigned char>(character)];
  }
  /// Whether the token of that id ends a word.
  bool ends_word(int64_t id) const;
  /// Length of the encoder's window in tokens, start and end marks included.
  int64_t max_length() const { return max_length_; }
  /// The largest id that `encode` can return.
  int64_t max_id() const { return static_cast<int64_t>(tokens_.size()) - 1; }

 private:
  void encode_words(std::u32string_view normalized, std::vector<int64_t>& ids) const;
  void encode_word(std::string_view bytes, std::vector<int64_t>& ids) const;

  std::array<int64_t, 256> byte_ids_;      // -1: unknown
  std::array<int64_t, 256> word_end_ids_;  // the same with "</w>"
  BytePairs merges_;
  TokenMarks raw_marks_;             // found in the text as it is
  TokenMarks normalized_marks_;      // found in the normalised text
  std::vector<std::string> tokens_;  // by id; empty where there is none
  int64_t bos_;
  int64_t eos_;
  int64_t pad_;
  int64_t unknown_;
  int64_t max_length_;
};

}  // namespace sdrbee::text
