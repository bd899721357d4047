// The files that the vocabulary of a Qwen tokenizer is kept in.
#pragma once

#include <filesystem>
#include <span>

#include "sdrbee/text/bpe_vocabulary.h"

namespace sdrbee::text {

/// Reads `tokenizer.json` or, where there is none, `vocab.json` and `merges.txt` of a folder, with
/// the special tokens of its configuration files; or one of the first two files.
/// Throws CheckpointError naming file and line or key, and UnsupportedModel for another kind of
/// tokenizer.
BpeVocabulary read_qwen_vocabulary(const std::filesystem::path& path);

/// The first of `candidates` that is such a file, or has one in itself or in `tokenizer/`. The
/// order of candidates is documented in python/sdrbee/vocabulary.py. Throws CheckpointError that
/// names the model, where the search went, and the ways to provide a vocabulary.
std::filesystem::path find_qwen_vocabulary(const std::filesystem::path& model,
                                           std::span<const std::filesystem::path> candidates);

}  // namespace sdrbee::text
