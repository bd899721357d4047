// The vocabulary of a unigram tokenizer (T5's) and the files that it is kept in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sdrbee/text/added_token.h"
#include "sdrbee/text/charsmap.h"

namespace sdrbee::text {

/// Everything that a T5 tokenizer knows: a plain value.
struct UnigramVocabulary {
  /// Text and log probability of each piece, by id; a word's first piece begins with U+2581. Of
  /// two with one text the later counts.
  std::vector<std::pair<std::string, double>> pieces;
  std::vector<AddedToken> added_tokens;  // contents are unique
  Charsmap charsmap;
  int64_t unknown = 2;
  int64_t eos = 1;
  int64_t pad = 0;
  bool byte_fallback = false;  // unknown characters become pieces "<0xE2>" of their bytes
};

/// Reads `tokenizer.json` or, where there is none, `spiece.model` of a folder, with the special
/// tokens of its `tokenizer_config.json`; or one of these two files. A `.model` file is followed by
/// T5's 100 `<extra_id_n>`, as in Hugging Face's transformers 5.
/// Throws CheckpointError naming file and key or byte, and UnsupportedModel for another kind of
/// tokenizer.
UnigramVocabulary read_unigram_vocabulary(const std::filesystem::path& path);

/// The first of `candidates` that is such a file, or has one in itself or in `tokenizer_3/` or
/// `tokenizer_2/`, where Stable Diffusion 3 and FLUX have T5's. The order of candidates is
/// documented in python/sdrbee/vocabulary.py. Throws CheckpointError that names the model, where
/// the search went, and the ways to provide a vocabulary.
std::filesystem::path find_unigram_vocabulary(const std::filesystem::path& model,
                                              std::span<const std::filesystem::path> candidates);

}  // namespace sdrbee::text
