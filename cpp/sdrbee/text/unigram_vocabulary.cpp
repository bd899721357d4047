#include "sdrbee/text/unigram_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "sdrbee/core/error.h"
#include "sdrbee/io/base64.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/json.h"
#include "sdrbee/text/sentencepiece_model.h"
#include "sdrbee/text/tokenizer_files.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kPieceModel = "spiece.model";
constexpr uint64_t kMaxModelBytes = 64 << 20;
constexpr size_t kMaxPieces = 1 << 24;
constexpr size_t kMaxPieceBytes = 512;  // keeps the time for hostile texts linear
constexpr int64_t kExtraIds = 100;
constexpr int64_t kMaxExtraIds = 10'000;

[[noreturn]] void refuse_t5(const fs::path& file, const std::string& key,
                            const std::string& expected, const Json& found) {
  refuse_tokenizer(file, key, expected, "T5", found);
}

void check_pieces(const UnigramVocabulary& vocabulary, const fs::path& file) {
  const auto& pieces = vocabulary.pieces;
  if (pieces.empty() || pieces.size() > kMaxPieces)
    reject_vocabulary(file,
                      message("expected 1 to ", kMaxPieces, " pieces but got ", pieces.size()));
  if (vocabulary.unknown < 0 || vocabulary.unknown >= std::ssize(pieces))
    reject_vocabulary(file, message("expected an id of the unknown piece below ", pieces.size(),
                                    " but got ", vocabulary.unknown));
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].first.size() > kMaxPieceBytes)
      reject_vocabulary(file, message("piece ", id, ": expected at most ", kMaxPieceBytes,
                                      " bytes but got ", pieces[id].first.size()));
    if (!std::isfinite(pieces[id].second))
      reject_vocabulary(
          file, message("piece ", id, ": expected a finite score but got ", pieces[id].second));
  }
}

/// The members of a normalizer or pre-tokenizer, sequences laid flat.
void flatten(const Json& step, const char* list, std::vector<Json>& steps) {
  if (step.is_null()) return;
  if (!step.is_object() || step.value("type", Json()) != "Sequence") {
    steps.push_back(step);
    return;
  }
  for (const Json& inner : step.value(list, Json::array())) flatten(inner, list, steps);
}

/// transformers' T5Tokenizer takes the charsmap and lays out the other steps by itself; steps that
/// it leaves out are those that splitting at white space makes superfluous.
void read_normalizer(UnigramVocabulary& vocabulary, const fs::path& file, const Json& normalizer) {
  std::vector<Json> steps;
  flatten(normalizer, "normalizers", steps);
  for (const Json& step : steps) {
    const std::string type = step_type(step);
    if (type == "Strip" || type == "Replace") continue;
    if (type != "Precompiled") refuse_t5(file, "normalizer", "Precompiled, Strip or Replace", step);
    const Json encoded = step.value("precompiled_charsmap", Json());
    const auto bytes =
        encoded.is_string() ? io::decode_base64(encoded.get<std::string>()) : std::nullopt;
    if (!bytes) reject_vocabulary(file, "'normalizer.precompiled_charsmap': expected base64");
    vocabulary.charsmap = Charsmap(*bytes, file.string());
  }
}

void check_pre_tokenizer(const fs::path& file, const Json& pre_tokenizer) {
  std::vector<Json> steps;
  flatten(pre_tokenizer, "pretokenizers", steps);
  for (const Json& step : steps) {
    const std::string type = step_type(step);
    if (type == "WhitespaceSplit") continue;
    if (type != "Metaspace" || step.value("replacement", Json("\u2581")) != "\u2581")
      refuse_t5(file, "pre_tokenizer", "WhitespaceSplit and Metaspace", step);
  }
}

void read_model(UnigramVocabulary& vocabulary, const fs::path& file, const Json& model) {
  if (!model.is_object() || !model.contains("vocab"))
    reject_vocabulary(file, "expected a 'model' with 'vocab'");
  if (model.value("type", Json("Unigram")) != "Unigram" || !model["vocab"].is_array())
    refuse_t5(file, "model.type", "Unigram", model.value("type", Json()));
  for (const Json& piece : model["vocab"]) {
    const bool pair =
        piece.is_array() && piece.size() == 2 && piece[0].is_string() && piece[1].is_number();
    if (!pair)
      reject_vocabulary(file, message("'model.vocab', piece ", vocabulary.pieces.size(),
                                      ": expected [text, score] but got ", piece.dump()));
    vocabulary.pieces.emplace_back(piece[0].get<std::string>(), piece[1].get<double>());
  }
  const Json unknown = model.value("unk_id", Json());
  if (!unknown.is_number_integer()) reject_vocabulary(file, "'model.unk_id': expected an id");
  vocabulary.unknown = unknown.get<int64_t>();
  const Json fallback = model.value("byte_fallback", Json(false));
  if (!fallback.is_boolean())
    reject_vocabulary(file, "'model.byte_fallback': expected true or false");
  vocabulary.byte_fallback = fallback.get<bool>();
}

/// A special token as configurations write it: text, or an object with flags.
AddedToken t5_token(const fs::path& file, const std::string& key, const Json& value) {
  if (value.is_string()) return {.content = value.get<std::string>()};
  const Json content = value.is_object() ? value.value("content", Json()) : Json();
  if (!content.is_string())
    reject_vocabulary(file, message("'", key, "': expected a token but got ", value.dump()));
  const auto flag = [&](const char* name) {
    const Json found = value.value(name, Json(false));
    if (!found.is_boolean())
      reject_vocabulary(file, message("'", key, ".", name, "': expected true or false"));
    return found.get<bool>();
  };
  return {.content = content.get<std::string>(),
          .single_word = flag("single_word"),
          .normalized = flag("normalized")};
}

/// Ids of tokens: those of pieces, and the next free ones.
class TokenIds {
 public:
  explicit TokenIds(UnigramVocabulary& vocabulary) : vocabulary_(&vocabulary) {
    for (size_t id = 0; id < vocabulary.pieces.size(); ++id)
      ids_[vocabulary.pieces[id].first] = static_cast<int64_t>(id);
    next_ = static_cast<int64_t>(vocabulary.pieces.size());
  }

  /// The token's id. It is an added token from now on; the flags of the first mention stay.
  int64_t add(AddedToken token) {
    const auto [entry, is_new] = ids_.try_emplace(token.content, next_);
    if (is_new) ++next_;
    token.id = entry->second;
    if (added_.emplace(token.content, token.id).second)
      vocabulary_->added_tokens.push_back(std::move(token));
    return entry->second;
  }

 private:
  UnigramVocabulary* vocabulary_;
  std::map<std::string, int64_t> ids_;
  std::map<std::string, int64_t> added_;
  int64_t next_;
};

Json read_config(const fs::path& folder) {
  const fs::path file = folder / kTokenizerConfig;
  if (!fs::exists(file)) return Json::object();
  Json config = io::read_json(file);
  if (!config.is_object()) reject_vocabulary(file, "expected an object");
  return config;
}

int64_t extra_ids(const fs::path& folder, const Json& config) {
  const Json count = config.value("extra_ids", Json(kExtraIds));
  if (!count.is_number_integer() || count < 0 || count > kMaxExtraIds)
    reject_vocabulary(folder / kTokenizerConfig, message("'extra_ids': expected 0 to ",
                                                         kMaxExtraIds, " but got ", count.dump()));
  return count.get<int64_t>();
}

void add_special_tokens(UnigramVocabulary& vocabulary, const fs::path& file, const Json& listed,
                        const Json& config) {
  TokenIds ids(vocabulary);
  if (!listed.is_array()) reject_vocabulary(file, "'added_tokens': expected a list");
  for (const Json& value : listed) ids.add(t5_token(file, "added_tokens", value));
  const auto named = [&](const char* key, const char* usual) {
    const Json value = config.value(key, Json());
    return ids.add(value.is_null() ? AddedToken{.content = usual}
                                   : t5_token(file.parent_path() / kTokenizerConfig, key, value));
  };
  vocabulary.eos = named("eos_token", "</s>");
  vocabulary.pad = named("pad_token", "<pad>");
  named("unk_token", "<unk>");
  const int64_t count = extra_ids(file.parent_path(), config);
  for (int64_t n = 0; n < count; ++n) ids.add({.content = message("<extra_id_", n, ">")});
}

UnigramVocabulary read_tokenizer_json(const fs::path& file) {
  const Json tokenizer = io::read_json(file);
  if (!tokenizer.is_object()) reject_vocabulary(file, "expected an object");
  UnigramVocabulary vocabulary;
  read_model(vocabulary, file, tokenizer.value("model", Json()));
  check_pieces(vocabulary, file);
  read_normalizer(vocabulary, file, tokenizer.value("normalizer", Json()));
  check_pre_tokenizer(file, tokenizer.value("pre_tokenizer", Json()));
  add_special_tokens(vocabulary, file, tokenizer.value("added_tokens", Json::array()),
                     read_config(file.parent_path()));
  return vocabulary;
}

UnigramVocabulary read_piece_model(const fs::path& file) {
  SentencePieceModel model =
      parse_sentencepiece_model(io::read_file(file, kMaxModelBytes), file.string());
  if (model.model_type != 1)
    refuse_t5(file, "trainer_spec.model_type", "1 (unigram)", model.model_type);
  UnigramVocabulary vocabulary;
  vocabulary.pieces = std::move(model.pieces);
  const Json config = read_config(file.parent_path());
  for (int64_t n = extra_ids(file.parent_path(), config); n-- > 0;)
    vocabulary.pieces.emplace_back(message("<extra_id_", n, ">"), 0.0);
  vocabulary.unknown = model.unknown;
  vocabulary.byte_fallback = model.byte_fallback;
  vocabulary.charsmap = Charsmap(model.charsmap, file.string());
  check_pieces(vocabulary, file);
  add_special_tokens(vocabulary, file, Json::array(), config);
  return vocabulary;
}

/// Whether a file that may be of another tokenizer is of this kind.
bool is_unigram(const fs::path& file) {
  if (file.extension() == ".model") return true;
  if (file.filename() != kTokenizerJson) return false;
  const Json tokenizer = io::read_json(file);
  const Json model = tokenizer.is_object() ? tokenizer.value("model", Json()) : Json();
  return model.is_object() && model.value("type", Json()) == "Unigram";
}

}  // namespace

UnigramVocabulary read_unigram_vocabulary(const fs::path& path) {
  const auto file = vocabulary_file(path, {kTokenizerJson, kPieceModel});
  if (!file) reject_vocabulary(path, message("expected ", kTokenizerJson, " or ", kPieceModel));
  return file->extension() == ".model" ? read_piece_model(*file) : read_tokenizer_json(*file);
}

fs::path find_unigram_vocabulary(const fs::path& model, std::span<const fs::path> candidates) {
  std::string searched;
  for (const fs::path& candidate : candidates) {
    for (const fs::path& place : {candidate, candidate / "tokenizer_3", candidate / "tokenizer_2"})
      if (const auto file = vocabulary_file(place, {kTokenizerJson, kPieceModel});
          file && is_unigram(*file))
        return *file;
    searched += "\n  " + candidate.string();
  }
  throw CheckpointError(message(
      "[tokenizer] ", model.string(),
      " carries no T5 vocabulary, as is usual for a single file, and none was found in:", searched,
      "\nProvide it in one of these ways: put T5's ", kTokenizerJson, " or ", kPieceModel,
      " into a folder `tokenizer_3` beside the model file; set the environment variable "
      "SDRBEE_T5_VOCABULARY to such a file or folder; or download the tokenizer of "
      "google/t5-v1_1-xxl into the Hugging Face cache."));
}

}  // namespace sdrbee::text
