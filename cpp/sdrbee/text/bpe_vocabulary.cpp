#include "sdrbee/text/bpe_vocabulary.h"

#include <algorithm>

#include "sdrbee/core/error.h"
#include "sdrbee/io/file.h"

namespace sdrbee::text {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr int64_t kMaxId = 1 << 24;

void read_ids(BpeVocabulary& vocabulary, const fs::path& file, const Json& ids) {
  if (!ids.is_object() || ids.empty()) reject_vocabulary(file, "expected a map of tokens to ids");
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
    reject_vocabulary(
        file,
        message("line ", line, ": expected two tokens parted by one space but got '", rule, "'"));
  return {std::string(rule.substr(0, space)), std::string(rule.substr(space + 1))};
}

auto find_added(BpeVocabulary& vocabulary, std::string_view content) {
  return std::find_if(vocabulary.added_tokens.begin(), vocabulary.added_tokens.end(),
                      [&](const AddedToken& token) { return token.content == content; });
}

}  // namespace

int64_t add_token(BpeVocabulary& vocabulary, AddedToken token) {
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

void set_pad_token(BpeVocabulary& vocabulary, std::string_view content) {
  const auto same = find_added(vocabulary, content);
  vocabulary.pad = same != vocabulary.added_tokens.end()
                       ? same->id
                       : add_token(vocabulary, {.content = std::string(content)});
}

Json optional_json(const fs::path& file) {
  if (!fs::exists(file)) return Json::object();
  Json json = io::read_json(file);
  if (!json.is_object()) reject_vocabulary(file, "expected an object");
  return json;
}

int64_t checked_id(const fs::path& file, const std::string& token, const Json& id) {
  if (!id.is_number_integer() || id < 0 || id >= kMaxId)
    reject_vocabulary(file, message("expected an id in 0..", kMaxId - 1, " for the token '", token,
                                    "' but got ", id.dump()));
  return id.get<int64_t>();
}

void read_merges(BpeVocabulary& vocabulary, const fs::path& file, std::string_view text,
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

void read_vocab_and_merges(BpeVocabulary& vocabulary, const fs::path& vocab_file) {
  read_ids(vocabulary, vocab_file, io::read_json(vocab_file));
  const fs::path merges_file = vocab_file.parent_path() / kMergesTxt;
  if (!fs::exists(merges_file))
    reject_vocabulary(vocab_file, message("expected ", kMergesTxt, " beside it but there is none"));
  read_merges(vocabulary, merges_file, io::read_file(merges_file, kMaxVocabularyBytes), 1,
              SIZE_MAX);
}

Json model_of(const Json& tokenizer) {
  Json model = tokenizer.is_object() ? tokenizer.value("model", Json()) : Json();
  return model.is_object() ? model : Json::object();
}

void read_bpe_model(BpeVocabulary& vocabulary, const fs::path& file, const Json& model) {
  if (!model.contains("vocab") || !model.contains("merges"))
    reject_vocabulary(file, "expected a 'model' with 'vocab' and 'merges'");
  read_ids(vocabulary, file, model["vocab"]);
  size_t number = 0;
  for (const Json& rule : model["merges"]) {
    ++number;
    const bool pair =
        rule.is_array() && rule.size() == 2 && rule[0].is_string() && rule[1].is_string();
    if (!pair && !rule.is_string())
      reject_vocabulary(file, message("'model.merges', rule ", number,
                                      ": expected a pair of tokens but got ", rule.dump()));
    vocabulary.merges.push_back(
        pair ? std::pair{rule[0].get<std::string>(), rule[1].get<std::string>()}
             : merge_rule(file, rule.get<std::string>(), number));
  }
}

}  // namespace sdrbee::text
