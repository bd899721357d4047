// Qwen's tokenizer: text to token ids, equal to Hugging Face's Qwen2Tokenizer (transformers 5).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sdrbee/text/byte_pairs.h"

namespace sdrbee::text {

/// Normalises (NFC), cuts into words by Qwen's pattern, and merges bytes into tokens (byte-level
/// byte-pair encoding). Immutable, so any number of threads may use one object. The time is
/// O(n log n) in the text.
class BpeTokenizer final {
 public:
  /// Throws CheckpointError when a merge rule names a token that the vocabulary lacks.
  explicit BpeTokenizer(const BpeVocabulary& vocabulary);

  /// Token ids, not truncated. Ill-formed UTF-8 counts as U+FFFD; bytes that a small vocabulary
  /// lacks are left out.
  std::vector<int64_t> encode(std::string_view utf8) const;

  /// The text of tokens.
  std::string decode(std::span<const int64_t> ids) const;

  /// The id that rows are filled up with, on the right.
  int64_t pad() const { return pad_; }
  /// The largest id that `encode` can return.
  int64_t max_id() const { return static_cast<int64_t>(tokens_.size()) - 1; }

 private:
  void encode_words(std::u32string_view normalized, std::vector<int64_t>& ids) const;

  std::array<int64_t, 256> byte_ids_;  // -1: unknown
  BytePairs merges_;
  TokenMarks raw_marks_;             // found in the text as it is
  TokenMarks normalized_marks_;      // found in the normalised text
  std::vector<std::string> tokens_;  // by id; empty where there is none
  int64_t pad_;
};

}  // namespace sdrbee::text
