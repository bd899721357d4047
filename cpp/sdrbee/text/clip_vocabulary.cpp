#include "sdrbee/text/clip_vocabulary.h"

#include <optional>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/gzip.h"
#include "sdrbee/io/json.h"
#include "sdrbee/text/special_tokens.h"
#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kOpenAiVocabulary = "bpe_simple_vocab_16e6.txt.gz";
// Of the 262,144 rules in OpenAI's file CLIP uses the first 49152 - 256 - 2.
// https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py#L67
constexpr size_t kOpenAiMerges = 49152 - 256 - 2;
constexpr double kMaxLength = 1 << 16;  // transformers writes 1e30 for "no limit"

constexpr const char* kStartToken = "<|startoftext|>";
constexpr const char* kEndToken = "<|endoftext|>";

constexpr TokenUse kClipUses[] = {{"bos_token", kStartToken},
                                  {"eos_token", kEndToken},
                                  {"unk_token", kEndToken},
                                  {"pad_token", kEndToken}};
constexpr const char* kWordSuffix = "</w>";

// The layout of OpenAI's and open_clip's tokenizers: bytes, bytes that end a word, merges, marks.
void read_openai_vocabulary(ClipVocabulary& vocabulary, const fs::path& file) {
  const std::string text = io::read_gzip(file, kMaxVocabularyBytes);
  const size_t title_end = text.find('\n');
  if (title_end == std::string::npos)
    reject_vocabulary(file, "expected a title line and merge rules");
  read_merges(vocabulary, file, std::string_view(text).substr(title_end + 1), 2, kOpenAiMerges);
  std::vector<std::string> tokens;
  for (const auto& [first, last] : {std::pair{33, 126}, {161, 172}, {174, 255}, {256, 323}})
    for (int character = first; character <= last; ++character)
      append_utf8(tokens.emplace_back(), static_cast<char32_t>(character));
  for (size_t byte = 0; byte < 256; ++byte) tokens.push_back(tokens[byte] + kWordSuffix);
  for (const auto& [left, right] : vocabulary.merges) tokens.push_back(left + right);
  tokens.insert(tokens.end(), {kStartToken, kEndToken});
  for (size_t id = 0; id < tokens.size(); ++id)
    vocabulary.ids.emplace(std::move(tokens[id]), static_cast<int64_t>(id));
}

// A template that tokenizer.json brings along decides which marks enclose a prompt.
void apply_post_processor(ClipVocabulary& vocabulary, const fs::path& file, const Json& processor) {
  if (!processor.is_object() || processor.value("type", Json()) != "RobertaProcessing") return;
  const auto mark = [&](const char* key) {
    const Json pair = processor.value(key, Json());
    if (!pair.is_array() || pair.size() != 2)
      reject_vocabulary(file, message("'post_processor.", key, "': expected [token, id]"));
    return checked_id(file, key, pair[1]);
  };
  vocabulary.bos = mark("cls");
  vocabulary.eos = mark("sep");
}

void apply_special_tokens(ClipVocabulary& vocabulary, const fs::path& folder, const Json& config,
                          const Json& tokenizer) {
  const auto named = add_special_tokens(vocabulary, folder, tokenizer, kClipUses);
  vocabulary.bos = named.at("bos_token");
  vocabulary.eos = named.at("eos_token");
  vocabulary.pad = named.at("pad_token");
  vocabulary.unknown = named.at("unk_token");
  if (tokenizer.contains("post_processor"))
    apply_post_processor(vocabulary, folder / kTokenizerJson, tokenizer["post_processor"]);
  const Json length = config.value("model_max_length", Json());
  if (length.is_null()) return;
  if (!length.is_number() || length < 3)
    reject_vocabulary(folder / kTokenizerConfig,
                      "'model_max_length': expected a number of at least 3");
  if (length.get<double>() <= kMaxLength)
    vocabulary.max_length = static_cast<int64_t>(length.get<double>());
}

/// Whether a model of tokenizer.json is CLIP's, as far as it is one at all.
bool is_clip_model(const Json& model) {
  return model.value("type", Json("BPE")) == "BPE" &&
         model.value("end_of_word_suffix", Json(kWordSuffix)) == kWordSuffix;
}

Json read_tokenizer_json(ClipVocabulary& vocabulary, const fs::path& file) {
  Json tokenizer = io::read_json(file);
  const Json model = model_of(tokenizer);
  if (!is_clip_model(model))
    throw UnsupportedModel(message("[tokenizer] ", file.string(),
                                   " is not CLIP's: expected a BPE model whose words end in </w>"));
  read_bpe_model(vocabulary, file, model);
  return tokenizer;
}

// The file to read in a folder, or the file itself.
std::optional<fs::path> clip_file(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    const std::string name = path.filename().string();
    const bool known = name == kTokenizerJson || name == kVocabJson || name.ends_with(".txt.gz");
    return known ? std::optional(path) : std::nullopt;
  }
  for (const char* name : {kTokenizerJson, kVocabJson, kOpenAiVocabulary})
    if (fs::is_regular_file(path / name, ignored)) return path / name;
  return std::nullopt;
}

}  // namespace

bool has_clip_vocabulary(const fs::path& path) {
  const auto file = clip_file(path);
  if (!file || file->filename() != kTokenizerJson) return file.has_value();
  const Json model = model_of(io::read_json(*file));
  return !model.empty() && is_clip_model(model);
}

ClipVocabulary read_clip_vocabulary(const fs::path& path) {
  const std::optional<fs::path> file = clip_file(path);
  if (!file)
    reject_vocabulary(path, message("expected ", kTokenizerJson, ", ", kVocabJson, " with ",
                                    kMergesTxt, ", or ", kOpenAiVocabulary));
  const std::string name = file->filename().string();
  ClipVocabulary vocabulary;
  Json tokenizer = Json::object();
  if (name == kTokenizerJson)
    tokenizer = read_tokenizer_json(vocabulary, *file);
  else if (name == kVocabJson)
    read_vocab_and_merges(vocabulary, *file);
  else
    read_openai_vocabulary(vocabulary, *file);
  const fs::path folder = file->parent_path();
  apply_special_tokens(vocabulary, folder, optional_json(folder / kTokenizerConfig), tokenizer);
  return vocabulary;
}

fs::path find_clip_vocabulary(const fs::path& model, std::span<const fs::path> candidates) {
  std::string searched;
  for (const fs::path& candidate : candidates) {
    for (const fs::path& place : {candidate, candidate / "tokenizer"})
      if (has_clip_vocabulary(place)) return place;
    searched += "\n  " + candidate.string();
  }
  throw CheckpointError(message(
      "[tokenizer] ", model.string(),
      " carries no vocabulary, as is usual for a single file, and none was found in:", searched,
      "\nProvide it in one of these ways: put ", kVocabJson, " and ", kMergesTxt, ", ",
      kTokenizerJson, " or ", kOpenAiVocabulary,
      " beside the model file or into a folder `tokenizer` there; set the environment variable "
      "SDRBEE_CLIP_VOCABULARY to such a file or folder; download openai/clip-vit-large-patch14 "
      "into the Hugging Face cache; or `pip install --no-deps open_clip_torch`, which ships it."));
}

}  // namespace sdrbee::text
