#include "sdrbee/text/qwen_vocabulary.h"

#include <algorithm>
#include <optional>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "sdrbee/text/special_tokens.h"
#include "sdrbee/text/tokenizer_files.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kEndOfText = "<|endoftext|>";
constexpr TokenUse kQwenUses[] = {{"bos_token", ""},
                                  {"eos_token", kEndOfText},
                                  {"unk_token", kEndOfText},
                                  {"pad_token", kEndOfText}};

// The pattern that BpeTokenizer cuts by.
constexpr const char* kPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

[[noreturn]] void refuse_qwen(const fs::path& file, const std::string& key,
                              const std::string& expected, const Json& found) {
  refuse_tokenizer(file, key, expected, "Qwen", found);
}

void check_model(const fs::path& file, const Json& model) {
  if (model.value("type", Json("BPE")) != "BPE")
    refuse_qwen(file, "model.type", "BPE", model.value("type", Json()));
  for (const char* key : {"end_of_word_suffix", "continuing_subword_prefix"})
    if (const Json affix = model.value(key, Json()); !affix.is_null() && affix != "")
      refuse_qwen(file, message("model.", key), "none", affix);
  for (const char* key : {"byte_fallback", "ignore_merges"})
    if (model.value(key, Json(false)) != false)
      refuse_qwen(file, message("model.", key), "false", model[key]);
  if (!model.value("unk_token", Json()).is_null())
    refuse_qwen(file, "model.unk_token", "null", model["unk_token"]);
}

void check_steps(const fs::path& file, const Json& tokenizer) {
  const Json normalizer = tokenizer.value("normalizer", Json());
  if (step_type(normalizer) != "NFC") refuse_qwen(file, "normalizer", "NFC", normalizer);
  const Json steps = tokenizer.value("pre_tokenizer", Json());
  const Json list = steps.is_object() ? steps.value("pretokenizers", Json::array()) : Json::array();
  const bool known = list.size() == 2 && step_type(list[0]) == "Split" &&
                     list[0].value("pattern", Json()) == Json{{"Regex", kPattern}} &&
                     step_type(list[1]) == "ByteLevel" &&
                     list[1].value("add_prefix_space", Json(false)) == false &&
                     list[1].value("use_regex", Json(true)) == false;
  if (!known) refuse_qwen(file, "pre_tokenizer", "Split by Qwen's pattern, then ByteLevel", steps);
}

/// Whether a file that may be of another tokenizer is of this kind.
bool is_qwen(const fs::path& file) {
  if (file.filename() == kTokenizerJson) {
    const Json model = model_of(io::read_json(file));
    const Json suffix = model.value("end_of_word_suffix", Json());
    return model.value("type", Json()) == "BPE" && (suffix.is_null() || suffix == "");
  }
  if (file.filename() != kVocabJson) return false;
  const Json ids = io::read_json(file);
  const auto ends_word = [](const auto& token) { return token.key().ends_with("</w>"); };
  const auto tokens = ids.items();
  return ids.is_object() && std::none_of(tokens.begin(), tokens.end(), ends_word);
}

}  // namespace

BpeVocabulary read_qwen_vocabulary(const fs::path& path) {
  const auto file = vocabulary_file(path, {kTokenizerJson, kVocabJson});
  if (!file) reject_vocabulary(path, message("expected ", kTokenizerJson, " or ", kVocabJson));
  BpeVocabulary vocabulary;
  Json tokenizer = Json::object();
  if (file->filename() == kVocabJson) {
    read_vocab_and_merges(vocabulary, *file);
  } else {
    tokenizer = io::read_json(*file);
    const Json model = model_of(tokenizer);
    check_model(*file, model);
    read_bpe_model(vocabulary, *file, model);
    check_steps(*file, tokenizer);
  }
  const fs::path folder = file->parent_path();
  const std::string side =
      io::Config(optional_json(folder / kTokenizerConfig), (folder / kTokenizerConfig).string())
          .string_or("padding_side", "right");
  if (side != "right") refuse_qwen(folder / kTokenizerConfig, "padding_side", "right", side);
  vocabulary.pad = add_special_tokens(vocabulary, folder, tokenizer, kQwenUses).at("pad_token");
  return vocabulary;
}

fs::path find_qwen_vocabulary(const fs::path& model, std::span<const fs::path> candidates) {
  std::string searched;
  for (const fs::path& candidate : candidates) {
    for (const fs::path& place : {candidate, candidate / "tokenizer"})
      if (const auto file = vocabulary_file(place, {kTokenizerJson, kVocabJson});
          file && is_qwen(*file))
        return *file;
    searched += "\n  " + candidate.string();
  }
  throw CheckpointError(message(
      "[tokenizer] ", model.string(),
      " carries no Qwen vocabulary, as is usual for a single file, and none was found in:",
      searched, "\nProvide it in one of these ways: put Qwen3's ", kTokenizerJson, ", or ",
      kVocabJson, " and ", kMergesTxt,
      ", beside the model file or into a folder `tokenizer` there; set the environment variable "
      "SDRBEE_QWEN_VOCABULARY to such a file or folder; or download the tokenizer of "
      "Qwen/Qwen3-4B into the Hugging Face cache."));
}

}  // namespace sdrbee::text
