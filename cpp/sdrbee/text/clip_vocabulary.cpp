#include "sdrbee/text/clip_vocabulary.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/gzip.h"
#include "sdrbee/io/json.h"
#include "sdrbee/text/unicode.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kTokenizerJson = "tokenizer.json";
constexpr const char* kVocabJson = "vocab.json";
constexpr const char* kMergesTxt = "merges.txt";
constexpr const char* kOpenAiVocabulary = "bpe_simple_vocab_16e6.txt.gz";
// Of the 262,144 rules in OpenAI's file CLIP uses the first 49152 - 256 - 2.
// https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py#L67
constexpr size_t kOpenAiMerges = 49152 - 256 - 2;
constexpr uint64_t kMaxTextBytes = 64 << 20;
constexpr int64_t kMaxId = 1 << 24;
constexpr double kMaxLength = 1 << 16;  // transformers writes 1e30 for "no limit"

constexpr const char* kStartToken = "<|startoftext|>";
constexpr const char* kEndToken = "<|endoftext|>";

[[noreturn]] void reject(const fs::path& file, const std::string& what) {
  throw CheckpointError(message("[tokenizer] ", file.string(), ": ", what));
}

int64_t checked_id(const fs::path& file, const std::string& token, const Json& id) {
  if (!id.is_number_integer() || id < 0 || id >= kMaxId)
    reject(file, message("expected an id in 0..", kMaxId - 1, " for the token '", token,
                         "' but got ", id.dump()));
  return id.get<int64_t>();
}

void read_ids(ClipVocabulary& vocabulary, const fs::path& file, const Json& ids) {
  if (!ids.is_object() || ids.empty()) reject(file, "expected a map of tokens to ids");
  vocabulary.ids.reserve(ids.size());
  for (const auto& [token, id] : ids.items())
    vocabulary.ids.emplace(token, checked_id(file, token, id));
}

std::pair<std::string, std::string> merge_rule(const fs::path& file, std::string_view rule,
                                               size_t line) {
  const size_t space = rule.find(' ');
  const bool two_parts = space != std::string_view::npos && space > 0 && space + 1 < rule.size() &&
                         rule.find(' ', space + 1) == std::string_view::npos;
  if (!two_parts)
    reject(file, message("line ", line, ": expected two tokens parted by one space but got '", rule,
                         "'"));
  return {std::string(rule.substr(0, space)), std::string(rule.substr(space + 1))};
}

// Reads at most `limit` rules, one a line; lines that begin with #version are remarks.
void read_merges(ClipVocabulary& vocabulary, const fs::path& file, std::string_view text,
                 size_t first_line, size_t limit) {
  size_t line = first_line;
  while (!text.empty() && vocabulary.merges.size() < limit) {
    const size_t length = std::min(text.find('\n'), text.size());
    std::string_view rule = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    if (rule.ends_with('\r')) rule.remove_suffix(1);
    const bool blank_end = rule.empty() && text.empty();
    if (!rule.starts_with("#version") && !blank_end)
      vocabulary.merges.push_back(merge_rule(file, rule, line));
    ++line;
  }
}

void read_vocab_and_merges(ClipVocabulary& vocabulary, const fs::path& vocab_file) {
  read_ids(vocabulary, vocab_file, io::read_json(vocab_file));
  const fs::path merges_file = vocab_file.parent_path() / kMergesTxt;
  if (!fs::exists(merges_file))
    reject(vocab_file, message("expected ", kMergesTxt, " beside it but there is none"));
  read_merges(vocabulary, merges_file, io::read_file(merges_file, kMaxTextBytes), 1, SIZE_MAX);
}

// The layout of OpenAI's and open_clip's tokenizers: bytes, bytes that end a word, merges, marks.
void read_openai_vocabulary(ClipVocabulary& vocabulary, const fs::path& file) {
  const std::string text = io::read_gzip(file, kMaxTextBytes);
  const size_t title_end = text.find('\n');
  if (title_end == std::string::npos) reject(file, "expected a title line and merge rules");
  read_merges(vocabulary, file, std::string_view(text).substr(title_end + 1), 2, kOpenAiMerges);
  std::vector<std::string> tokens;
  for (const auto& [first, last] : {std::pair{33, 126}, {161, 172}, {174, 255}, {256, 323}})
    for (int character = first; character <= last; ++character)
      append_utf8(tokens.emplace_back(), static_cast<char32_t>(character));
  for (size_t byte = 0; byte < 256; ++byte) tokens.push_back(tokens[byte] + "</w>");
  for (const auto& [left, right] : vocabulary.merges) tokens.push_back(left + right);
  tokens.insert(tokens.end(), {kStartToken, kEndToken});
  for (size_t id = 0; id < tokens.size(); ++id)
    vocabulary.ids.emplace(std::move(tokens[id]), static_cast<int64_t>(id));
}

auto find_added(ClipVocabulary& vocabulary, std::string_view content) {
  return std::find_if(vocabulary.added_tokens.begin(), vocabulary.added_tokens.end(),
                      [&](const AddedToken& token) { return token.content == content; });
}

// A special token as configuration files write it: a string, or an object with flags.
struct SpecialToken {
  AddedToken token;
  bool from_string = false;
  bool operator==(const SpecialToken&) const = default;
};

SpecialToken special_token(const fs::path& file, const std::string& key, const Json& value) {
  if (value.is_string()) return {{.content = value.get<std::string>()}, true};
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string())
    reject(file, message("'", key, "': expected a token but got ", value.dump()));
  const auto flag = [&](const char* name, bool fallback) {
    if (value.contains(name) && !value[name].is_boolean())
      reject(file, message("'", key, ".", name, "': expected true or false"));
    return value.value(name, fallback);
  };
  const bool special = flag("special", key.ends_with("_token"));
  return {{.content = value["content"].get<std::string>(),
           .single_word = flag("single_word", false),
           .normalized = flag("normalized", !special)},
          false};
}

// The JSON of a folder's optional configuration file; an empty object when it is missing.
Json optional_json(const fs::path& file) {
  if (!fs::exists(file)) return Json::object();
  Json json = io::read_json(file);
  if (!json.is_object()) reject(file, "expected an object");
  return json;
}

// What Hugging Face's from_pretrained gathers before it builds a tokenizer.
struct SpecialTokens {
  std::vector<SpecialToken> added;  // in the order of being added
  std::vector<std::pair<std::string, SpecialToken>> named;
};

constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "pad_token"};

// Tokens that files list by id: in tokenizer_config.json, else in tokenizer.json and
// added_tokens.json.
std::vector<SpecialToken> listed_tokens(const fs::path& folder, const Json& config,
                                        const Json& tokenizer) {
  std::map<int64_t, SpecialToken> by_id;
  if (config.contains("added_tokens_decoder")) {
    const fs::path file = folder / "tokenizer_config.json";
    if (!config["added_tokens_decoder"].is_object())
      reject(file, "'added_tokens_decoder': expected an object");
    for (const auto& [key, value] : config["added_tokens_decoder"].items()) {
      if (key.empty() || key.size() > 8 || key.find_first_not_of("0123456789") != key.npos)
        reject(file, message("'added_tokens_decoder': expected ids but got '", key, "'"));
      by_id[std::stoll(key)] = special_token(file, "added_tokens_decoder." + key, value);
    }
  } else {
    const fs::path legacy = folder / "added_tokens.json";
    const Json legacy_tokens = optional_json(legacy);
    for (const auto& [content, id] : legacy_tokens.items())
      by_id[checked_id(legacy, content, id)] = {{.content = content, .normalized = true}, false};
    for (const Json& value : tokenizer.value("added_tokens", Json::array()))
      by_id[checked_id(folder / kTokenizerJson, "added_tokens", value.value("id", Json()))] =
          special_token(folder / kTokenizerJson, "added_tokens", value);
  }
  std::vector<SpecialToken> tokens;
  for (auto& [id, token] : by_id) tokens.push_back(std::move(token));
  return tokens;
}

SpecialTokens gather_special_tokens(const fs::path& folder, const Json& config,
                                    const Json& tokenizer) {
  SpecialTokens result{.added = listed_tokens(folder, config, tokenizer), .named = {}};
  const size_t listed_count = result.added.size();
  const fs::path map_file = folder / "special_tokens_map.json";
  const Json map =
      config.contains("added_tokens_decoder") ? Json::object() : optional_json(map_file);
  for (const std::string key : kNamedTokens) {
    SpecialToken token{{.content = key == "bos_token" ? kStartToken : kEndToken}, true};
    if (map.contains(key) && !map[key].is_null())
      token = special_token(map_file, key, map[key]);
    else if (config.contains(key) && !config[key].is_null())
      token = special_token(folder / "tokenizer_config.json", key, config[key]);
    const auto listed_end = result.added.begin() + static_cast<std::ptrdiff_t>(listed_count);
    const auto listed = std::find_if(
        result.added.begin(), listed_end,
        [&](const SpecialToken& other) { return other.token.content == token.token.content; });
    if (listed != listed_end)
      token = *listed;
    else if (std::find(result.added.begin(), result.added.end(), token) == result.added.end())
      result.added.push_back(token);  // the same content again with other flags replaces them
    result.named.emplace_back(key, token);
  }
  return result;
}

// A template that tokenizer.json brings along decides which marks enclose a prompt.
void apply_post_processor(ClipVocabulary& vocabulary, const fs::path& file, const Json& processor) {
  if (!processor.is_object() || processor.value("type", Json()) != "RobertaProcessing") return;
  const auto mark = [&](const char* key) {
    const Json pair = processor.value(key, Json());
    if (!pair.is_array() || pair.size() != 2)
      reject(file, message("'post_processor.", key, "': expected [token, id]"));
    return checked_id(file, key, pair[1]);
  };
  vocabulary.bos = mark("cls");
  vocabulary.eos = mark("sep");
}

void apply_special_tokens(ClipVocabulary& vocabulary, const fs::path& folder, const Json& config,
                          const Json& tokenizer) {
  const SpecialTokens tokens = gather_special_tokens(folder, config, tokenizer);
  for (const SpecialToken& added : tokens.added) add_token(vocabulary, added.token);
  const auto id_of = [&](const char* key) {
    const auto named = std::find_if(tokens.named.begin(), tokens.named.end(),
                                    [key](const auto& entry) { return entry.first == key; });
    return find_added(vocabulary, named->second.token.content)->id;
  };
  vocabulary.bos = id_of("bos_token");
  vocabulary.eos = id_of("eos_token");
  vocabulary.pad = id_of("pad_token");
  vocabulary.unknown = id_of("unk_token");
  if (tokenizer.contains("post_processor"))
    apply_post_processor(vocabulary, folder / kTokenizerJson, tokenizer["post_processor"]);
  const Json length = config.value("model_max_length", Json());
  if (length.is_null()) return;
  if (!length.is_number() || length < 3)
    reject(folder / "tokenizer_config.json", "'model_max_length': expected a number of at least 3");
  if (length.get<double>() <= kMaxLength)
    vocabulary.max_length = static_cast<int64_t>(length.get<double>());
}

Json read_tokenizer_json(ClipVocabulary& vocabulary, const fs::path& file) {
  Json tokenizer = io::read_json(file);
  const Json model = tokenizer.is_object() ? tokenizer.value("model", Json()) : Json();
  if (!model.is_object() || !model.contains("vocab") || !model.contains("merges"))
    reject(file, "expected a 'model' with 'vocab' and 'merges'");
  if (model.value("type", Json("BPE")) != "BPE" ||
      model.value("end_of_word_suffix", Json("</w>")) != "</w>")
    throw UnsupportedModel(message("[tokenizer] ", file.string(),
                                   " is not CLIP's: expected a BPE model whose words end in </w>"));
  read_ids(vocabulary, file, model["vocab"]);
  size_t number = 0;
  for (const Json& rule : model["merges"]) {
    ++number;
    const bool pair =
        rule.is_array() && rule.size() == 2 && rule[0].is_string() && rule[1].is_string();
    if (!pair && !rule.is_string())
      reject(file, message("'model.merges', rule ", number, ": expected a pair of tokens but got ",
                           rule.dump()));
    vocabulary.merges.push_back(
        pair ? std::pair{rule[0].get<std::string>(), rule[1].get<std::string>()}
             : merge_rule(file, rule.get<std::string>(), number));
  }
  return tokenizer;
}

// The file to read in a folder, or the file itself.
std::optional<fs::path> vocabulary_file(const fs::path& path) {
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

int64_t add_token(ClipVocabulary& vocabulary, AddedToken token) {
  const auto same = find_added(vocabulary, token.content);
  if (same != vocabulary.added_tokens.end()) {
    token.id = same->id;
    *same = token;
    return token.id;
  }
  const auto known = vocabulary.ids.find(token.content);
  if (known != vocabulary.ids.end()) {
    token.id = known->second;
  } else {
    token.id = static_cast<int64_t>(vocabulary.ids.size());
    for (const AddedToken& other : vocabulary.added_tokens)
      token.id = std::max(token.id, other.id + 1);
  }
  vocabulary.added_tokens.push_back(token);
  return token.id;
}

void set_pad_token(ClipVocabulary& vocabulary, std::string_view content) {
  const auto same = find_added(vocabulary, content);
  vocabulary.pad = same != vocabulary.added_tokens.end()
                       ? same->id
                       : add_token(vocabulary, {.content = std::string(content)});
}

bool has_clip_vocabulary(const fs::path& path) {
  const auto file = vocabulary_file(path);
  if (!file || file->filename() != kTokenizerJson) return file.has_value();
  const Json tokenizer = io::read_json(*file);
  const Json model = tokenizer.is_object() ? tokenizer.value("model", Json()) : Json();
  return model.is_object() && model.value("type", Json("BPE")) == "BPE";
}

ClipVocabulary read_clip_vocabulary(const fs::path& path) {
  const std::optional<fs::path> file = vocabulary_file(path);
  if (!file)
    reject(path, message("expected ", kTokenizerJson, ", ", kVocabJson, " with ", kMergesTxt,
                         ", or ", kOpenAiVocabulary));
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
  apply_special_tokens(vocabulary, folder, optional_json(folder / "tokenizer_config.json"),
                       tokenizer);
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
