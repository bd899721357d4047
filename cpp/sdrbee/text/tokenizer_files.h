// What the readers of all kinds of tokenizers share.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>

#include "sdrbee/io/json.h"

namespace sdrbee::text {

inline constexpr const char* kTokenizerJson = "tokenizer.json";
inline constexpr const char* kTokenizerConfig = "tokenizer_config.json";

/// Throws CheckpointError naming the file.
[[noreturn]] void reject_vocabulary(const std::filesystem::path& file, const std::string& what);

/// Throws UnsupportedModel: `key` of the file isn't as in the tokenizers of `family`.
[[noreturn]] void refuse_tokenizer(const std::filesystem::path& file, const std::string& key,
                                   const std::string& expected, const char* family,
                                   const io::Json& found);

/// `path` itself where it is a file, else the first of `names` that the folder has.
std::optional<std::filesystem::path> vocabulary_file(const std::filesystem::path& path,
                                                     std::initializer_list<const char*> names);

/// The `type` of a normalizer or pre-tokenizer; empty where it has none.
std::string step_type(const io::Json& step);

}  // namespace sdrbee::text
