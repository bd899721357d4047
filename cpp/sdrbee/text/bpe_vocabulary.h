// The vocabulary of a byte-level BPE tokenizer, and how the files of all of them are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sdrbee/io/json.h"
#include "sdrbee/text/added_token.h"
#include "sdrbee/text/tokenizer_files.h"

namespace sdrbee::text {

using TokenIds = std::unordered_map<std::string, int64_t>;

/// What every byte-level BPE tokenizer knows: a plain value.
struct BpeVocabulary {
  TokenIds ids;                                             // tokens in stand-ins for bytes
  std::vector<std::pair<std::string, std::string>> merges;  // the earlier, the sooner merged
  std::vector<AddedToken> added_tokens;                     // contents are unique
  int64_t pad = 0;
};

/// Makes `content` an added token, replacing one of the same content, and returns its id: that of
/// the vocabulary's entry, or the next free one.
int64_t add_token(BpeVocabulary& vocabulary, AddedToken token);

/// Pads with this token from now on. A padding token is also an added token.
void set_pad_token(BpeVocabulary& vocabulary, std::string_view content);

// The files. All functions throw CheckpointError naming file and line or key.

inline constexpr uint64_t kMaxVocabularyBytes = 64 << 20;
inline constexpr const char* kVocabJson = "vocab.json";
inline constexpr const char* kMergesTxt = "merges.txt";

/// The JSON object of a folder's optional configuration file; empty when it is missing.
io::Json optional_json(const std::filesystem::path& file);

/// `id` as the id of `token`.
int64_t checked_id(const std::filesystem::path& file, const std::string& token, const io::Json& id);

/// Reads at most `limit` rules, one a line; lines that begin with #version are remarks.
void read_merges(BpeVocabulary& vocabulary, const std::filesystem::path& file,
                 std::string_view text, size_t first_line, size_t limit);

/// Reads vocab.json, and merges.txt beside it.
void read_vocab_and_merges(BpeVocabulary& vocabulary, const std::filesystem::path& vocab_file);

/// The `model` of a tokenizer.json; an empty object where it has none.
io::Json model_of(const io::Json& tokenizer);

/// Reads `vocab` and `merges` of such a model.
void read_bpe_model(BpeVocabulary& vocabulary, const std::filesystem::path& file,
                    const io::Json& model);

}  // namespace sdrbee::text
