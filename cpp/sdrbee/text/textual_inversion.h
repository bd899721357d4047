// Words that a text encoder learnt afterwards (Gal et al. 2022, arXiv:2208.01618).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sdrbee/core/tensor.h"

namespace sdrbee::text {

/// A learned word as a request names it.
struct EmbeddingUse {
  std::string name;  ///< the word that stands for it in prompts, in any case
  std::string path;
  /// SHA-256 of the file, in hexadecimal. Where it is given, another file is refused; a resolved
  /// request holds it.
  std::string sha256;
  bool operator==(const EmbeddingUse&) const = default;
};

/// The vectors of a learned word, for one text encoder or several.
struct TextualInversion {
  std::string name;
  std::string sha256;
  std::map<std::string, Tensor> vectors;  // [n, width] fp32 by the name in the file

  /// The vectors for an encoder whose tokens are `width` wide. `key` is its name in files for
  /// several encoders ("clip_l", "clip_g"); an encoder that is the model's only one has none, and
  /// takes the only tensor of the file. Throws InvalidRequest that says what the file is for.
  const Tensor& vectors_for(std::string_view key, int64_t width) const;
};

/// Opens a safetensors file: `emb_params` (A1111), one tensor by the word's name (diffusers), or
/// `clip_l` and `clip_g` (SDXL). Throws InvalidRequest for a file without such tensors or with
/// another hash than `use` has, CheckpointError for a missing or damaged one, and UnsupportedModel
/// for a pickle, with the conversion.
TextualInversion load_textual_inversion(const EmbeddingUse& use);

/// The safetensors files in a folder by their names without the extension, in the order of these.
/// Throws InvalidRequest when it is no folder.
std::vector<EmbeddingUse> embeddings_in(const std::filesystem::path& folder);

/// Whether the word called `name` stands somewhere in a text, see split_at_learned_words.
bool has_word(std::string_view text, std::string_view name);

/// Learned words that stand in prompts.
using LearnedWords = std::vector<std::shared_ptr<const TextualInversion>>;

/// Text, or a learned word in its place.
using TextOrWord = std::variant<std::string_view, const TextualInversion*>;

/// Cuts a text where learned words stand: the longest name first, in any case of ASCII, and not
/// inside of a longer word of letters and digits.
std::vector<TextOrWord> split_at_learned_words(std::string_view text, const LearnedWords& words);

}  // namespace sdrbee::text
