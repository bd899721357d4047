// The vocabulary of a CLIP tokenizer and the files that it is kept in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sdrbee/text/added_token.h"

namespace sdrbee::text {

/// Everything that a CLIP tokenizer knows: a plain value.
struct ClipVocabulary {
  std::unordered_map<std::string, int64_t> ids;  // byte-level tokens, "</w>" at word ends
  std::vector<std::pair<std::string, std::string>> merges;  // the earlier, the sooner merged
  std::vector<AddedToken> added_tokens;                     // contents are unique
  int64_t bos = 0;
  int64_t eos = 0;
  int64_t pad = 0;      // SD 2 pads with 0 ("!"), all others with `eos`
  int64_t unknown = 0;  // for bytes that a small vocabulary lacks
  int64_t max_length = 77;
};

/// Makes `content` an added token, replacing one of the same content, and returns its id: that of
/// the vocabulary's entry, or the next free one.
int64_t add_token(ClipVocabulary& vocabulary, AddedToken token);

/// Pads with this token from now on. A padding token is also an added token.
void set_pad_token(ClipVocabulary& vocabulary, std::string_view content);

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
