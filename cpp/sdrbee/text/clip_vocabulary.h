// The vocabulary of a CLIP tokenizer and the files that it is kept in.
#pragma once

#include <filesystem>
#include <span>

#include "sdrbee/text/bpe_vocabulary.h"

namespace sdrbee::text {

/// Everything that a CLIP tokenizer knows: a plain value. Tokens at word ends have "</w>"; SD 2
/// pads with 0 ("!"), all others with `eos`.
struct ClipVocabulary : BpeVocabulary {
  int64_t bos = 0;
  int64_t eos = 0;
  int64_t unknown = 0;  // for bytes that a small vocabulary lacks
  int64_t max_length = 77;
};

/// Whether `path` is a vocabulary's file, or a folder that holds one directly; a tokenizer.json of
/// another kind of tokenizer doesn't count.
bool has_clip_vocabulary(const std::filesystem::path& path);

/// Reads a vocabulary from a folder, or from one of the files `tokenizer.json`, `vocab.json` (with
/// `merges.txt` beside it), `bpe_simple_vocab_16e6.txt.gz`; a folder may hold any of them, and the
/// order is this one. The folder's `tokenizer_config.json`, `special_tokens_map.json` and
/// `added_tokens.json` give the special tokens and the length, as in Hugging Face's transformers 5.
/// Throws CheckpointError naming file and line or key.
ClipVocabulary read_clip_vocabulary(const std::filesystem::path& path);

/// The first of `candidates` that is a vocabulary, or has one in itself or in `tokenizer/`.
/// The order of candidates is documented in python/sdrbee/vocabulary.py. Throws CheckpointError
/// that names the model, where the search went, and the ways to provide a vocabulary.
std::filesystem::path find_clip_vocabulary(const std::filesystem::path& model,
                                           std::span<const std::filesystem::path> candidates);

}  // namespace sdrbee::text
