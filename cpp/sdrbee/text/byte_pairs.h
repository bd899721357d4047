// Byte-pair encoding over bytes, as GPT-2's tokenizer and its descendants have it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "sdrbee/text/bpe_vocabulary.h"

namespace sdrbee::text {

/// The printable character that stands for each byte in vocabulary files.
/// https://github.com/openai/gpt-2/blob/master/src/encoder.py#L9
const std::array<char32_t, 256>& byte_characters();

/// The bytes that a token's characters stand for; characters that stand for none stay.
std::string bytes_of_token(const std::string& token);

/// The id of each byte followed by `suffix`, -1 where the vocabulary has none.
std::array<int64_t, 256> byte_ids(const TokenIds& ids, const std::string& suffix = {});

/// The texts of tokens by id, added ones too; empty where there is none.
std::vector<std::string> tokens_by_id(const BpeVocabulary& vocabulary);

/// The merge rules of a vocabulary. Sennrich et al. 2016, arXiv:1508.07909.
class BytePairs {
 public:
  /// Throws CheckpointError when a rule names a token that the vocabulary lacks.
  explicit BytePairs(const BpeVocabulary& vocabulary);

  /// Merges the symbols of a word until no rule applies: the earliest rule first, then leftmost.
  /// O(n log n).
  void merge(std::vector<int64_t>& symbols) const;

 private:
  struct Merge {
    int32_t rank;
    int64_t id;
  };
  std::unordered_map<uint64_t, Merge> merges_;
};

}  // namespace sdrbee::text
