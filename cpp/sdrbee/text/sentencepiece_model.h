// The files of the SentencePiece library (Kudo and Richardson 2018, arXiv:1808.06226).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdrbee::text {

/// What a unigram tokenizer needs of a `.model` file.
struct SentencePieceModel {
  std::vector<std::pair<std::string, double>> pieces;  // text and log probability, by id
  std::string charsmap;                                // see Charsmap; may be empty
  int64_t unknown = 0;
  int64_t model_type = 1;  // 1 is unigram
  bool byte_fallback = false;
};

/// Parses the protocol buffer `sentencepiece.ModelProto`; fields of no use here are skipped.
/// https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
/// Throws CheckpointError with `origin` (a path) and the offset in bytes.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& origin);

}  // namespace sdrbee::text
