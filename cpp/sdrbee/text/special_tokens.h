// The special tokens that the files beside a vocabulary list and name.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "sdrbee/text/bpe_vocabulary.h"

namespace sdrbee::text {

/// A token that configurations name by its use, and which it is where none does ("" for none).
struct TokenUse {
  std::string_view key;
  std::string_view usual;
};

/// Adds all tokens that configurations list or name, as Hugging Face's from_pretrained does
/// (transformers 5): those of tokenizer_config.json, or else of added_tokens.json, of `tokenizer`
/// (tokenizer.json, where there is one) and of special_tokens_map.json. Returns the ids of the
/// named ones by their use.
std::map<std::string, int64_t, std::less<>> add_special_tokens(BpeVocabulary& vocabulary,
                                                               const std::filesystem::path& folder,
                                                               const io::Json& tokenizer,
                                                               std::span<const TokenUse> uses);

}  // namespace sdrbee::text
