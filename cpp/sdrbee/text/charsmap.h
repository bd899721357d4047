// The normalisation table that SentencePiece models carry ("precompiled_charsmap").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sdrbee::text {

/// Rewrites characters by a table that was compiled with the model, as Hugging Face's tokenizers
/// do: a grapheme of less than six bytes at once, all others character by character. A default one
/// changes nothing. Immutable, so any number of threads may use one object.
class Charsmap {
 public:
  Charsmap() = default;

  /// The table's bytes: the size of a double-array trie (Aoe 1989, as the Darts-clone library
  /// stores it), the trie, and the texts that its values point into. Throws CheckpointError with
  /// `origin` (a path) when the sizes do not fit.
  Charsmap(std::string_view bytes, const std::string& origin);

  std::u32string normalize(std::u32string_view text) const;

 private:
  std::optional<std::string_view> replacement(std::string_view utf8) const;

  std::vector<uint32_t> trie_;
  std::string texts_;  // each ends with a zero byte
};

}  // namespace sdrbee::text
